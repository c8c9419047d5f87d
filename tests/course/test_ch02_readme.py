"""The lesson of chapter 2: its listings run and print what it shows, its numbers are right, its pictures are drawn.

Run as a script, this file is the process that runs the listings: it imports torch once and forks every rank.
"""

import functools
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHAPTER = ROOT / "assignments" / "ch02_distributed_programming"
SOLUTIONS = ROOT / "solutions" / "ch02_distributed_programming"
README = (CHAPTER / "README.md").read_text()
PROSE = re.sub(r"^```.*?^```$", "", README, flags=re.DOTALL | re.MULTILINE)
SCRIPT_DEADLINE_S = 20.0
DRAWING_SCRIPT = ROOT / "docs" / "figures" / "ch02.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A Python block of the lesson: its command, its source, and the output shown after it."""

    command: str
    source: str
    output: str

    @property
    def num_ranks(self) -> int:
        """How many ranks its command starts; plain Python starts one process."""
        match = re.fullmatch(r"torchrun --standalone --nproc-per-node (\d+) \w+\.py|python \w+\.py", self.command)
        assert match is not None, f"The first line of a listing is its command, not {self.command!r}."
        return int(match[1] or 1)


def find_listings() -> dict[str, Listing]:
    """Return the lesson's Python blocks by the name of their script."""
    block = re.compile(r"^```python\n# (.*?)\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)
    listings = [Listing(command=m[1], source=m[2], output=m[3] or "") for m in block.finditer(README)]
    return {listing.command.split()[-1]: listing for listing in listings}


LISTINGS = find_listings()


@pytest.fixture(scope="module")
def ran() -> dict[str, list[dict[str, object]]]:
    """What every rank of every listing printed, and how it ended."""
    jobs = {name: [listing.source, listing.num_ranks] for name, listing in LISTINGS.items()}
    # One thread a rank: ranks share the cores, and a process with more than one thread must not fork.
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, __file__]
    done = subprocess.run(command, input=json.dumps(jobs), env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_every_python_block_is_a_listing():
    """Every Python block has a command in its first line, and no two have the same name."""
    assert len(LISTINGS) == README.count("```python\n") >= 15


@pytest.mark.parametrize("name", LISTINGS)
def test_a_listing_prints_what_the_lesson_shows(name, ran):
    """All ranks end in order, and together print what the lesson shows, in the order of the ranks."""
    errors = "\n".join(str(rank["errors"]) for rank in ran[name])
    assert [rank["exit_code"] for rank in ran[name]] == [0] * LISTINGS[name].num_ranks, errors
    assert "".join(str(rank["output"]) for rank in ran[name]) == LISTINGS[name].output


def test_the_first_listing_runs_by_its_own_command(tmp_path):
    """`torchrun --standalone` runs the first listing as it stands, outside of this test's own process."""
    listing = LISTINGS["hello.py"]
    (tmp_path / "hello.py").write_text(listing.source)
    program, *arguments = shlex.split(listing.command)
    command = [sys.executable, "-m", {"torchrun": "torch.distributed.run"}[program], *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert sorted(re.findall(r"rank \d of \d: 1 \+ 2 = 3\.0", done.stdout)) == listing.output.splitlines()


def test_the_lesson_quotes_the_recorder_in_its_own_words():
    """What the lesson shows of a hang and of a mismatch is what the harness says."""
    # Not at the top: as a script, this file knows nothing of where the course's packages are.
    from grader.harness.waiting import who_waits
    from tests.harness.recorded_ranks import Recorded, log

    hung = [Recorded(3).stuck("send", 11, peer=(rank + 1) % 3) for rank in range(3)]
    mismatched = [Recorded().call("all_reduce", line=8, reduce_op=op) for op in ("SUM", "MAX")]
    said = [who_waits([rank.journal for rank in hung], [""] * 3), *log(*mismatched).mismatches()]
    for sentence in said:
        assert f"\n{sentence.replace('x.py', 'ring_shift.py')}\n" in README


ALPHA, BETA = 10e-6, 1 / 25e9  # seconds, seconds per byte: what the lesson's worked numbers take
GPT2_BYTES = 124_439_808 * 4
MICRO, MILLI = 1e6, 1e3
# A piece of the lesson with its numbers left out, and the numbers.
WORKED = (
    ("at $m = \\alpha/\\beta = {:.0f}$ kB", [ALPHA / BETA / 1e3]),
    ("at $S = 8.8\\,\\alpha/\\beta$ = {:.1f} MB", [8.8 * ALPHA / BETA / 1e6]),
    ("$11\\alpha = 1.25\\beta S$, at $S = {:.1f}\\,", [11 / 1.25]),
    ("the tree already at {:.2f} MB", [(14 - 6) * ALPHA / ((6 - 1.75) * BETA) / 1e6]),
    (
        "| 16 KiB | {:.1f} µs | **{:.1f} µs** | {:.1f} µs | {:.1f} µs |",
        [
            6 * (ALPHA + BETA * 16384) * MICRO,
            3 * (ALPHA + BETA * 16384) * MICRO,
            14 * (ALPHA + BETA * 16384 / 8) * MICRO,
            3 * ALPHA * MICRO,
        ],
    ),
    (
        "4 bytes | {:.1f} ms | {:.1f} ms | **{:.1f} ms** | {:.1f} ms |",
        [
            6 * (ALPHA + BETA * GPT2_BYTES) * MILLI,
            3 * (ALPHA + BETA * GPT2_BYTES) * MILLI,
            14 * (ALPHA + BETA * GPT2_BYTES / 8) * MILLI,
            1.75 * BETA * GPT2_BYTES * MILLI,
        ],
    ),
    ("Each rank sends {:,} bytes for those gradients", [2 * 7 * GPT2_BYTES // 8]),
    (
        "a 1 MB all-reduce takes {:.1f} ms on a ring and {:.1f} ms by recursive doubling",
        [2 * 1023 * (ALPHA + BETA * 1e6 / 1024) * MILLI, 10 * (ALPHA + BETA * 1e6) * MILLI],
    ),
    ("exactly {}, {} and {} bytes per rank with $N$ = 2, 4 and 8", [2 * (n - 1) * 5 * 8 for n in (2, 4, 8)]),
    ("one adapter carries {:.0f} GB/s each way: a factor of {:.0f}", [200 / 8, 300 / 25]),
    ("4 grid that is ${:.2f}\\,S$", [2 * (1 / 2) / 4]),
    ("pushes ${:.2f}\\,S$ through each rank", [2 * 7 / 8]),
)


@pytest.mark.parametrize(("words", "numbers"), WORKED, ids=[words[:30] for words, _ in WORKED])
def test_a_worked_number_is_right(words, numbers):
    """A number in the text is what its formula gives, to the digits shown."""
    assert words.format(*numbers) in README


def test_the_steps_of_the_ring_are_what_the_indices_say():
    """In the table for four ranks, rank r sends at step s the sum over ranks r - s + 1 to r of chunk r - s."""
    for step in range(1, 4):
        sums = ["+".join("abcd"[(rank - step + hop) % 4] for hop in range(1, step + 1)) for rank in range(4)]
        row = " | ".join(f"chunk {(rank - step) % 4}: {sums[rank]}" for rank in range(4))
        assert f"| {step} | {row} |" in README


def test_the_exercises_are_those_of_the_assignment():
    """Every exercise of assignment.toml has its section, in order, with its id, points and command."""
    exercises = tomllib.loads((CHAPTER / "assignment.toml").read_text())["exercises"]
    expected = [f"2.{n} · `{e['id']}` ({e['points']} points)" for n, e in enumerate(exercises, start=1)]
    assert re.findall(r"^### Exercise (.*)$", README, re.MULTILINE) == expected
    assert re.findall(r"^\*Run\.\* `course check ch02/(\w+)`$", README, re.MULTILINE) == [e["id"] for e in exercises]


def test_no_line_of_a_solution_is_in_the_lesson():
    """No longer line of a solution region appears in the lesson."""
    for path in SOLUTIONS.glob("*.py"):
        regions = re.findall(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", path.read_text(), re.DOTALL)
        lines = {line.strip() for region in regions for line in region.splitlines()}
        assert [line for line in lines if len(line) > 40 and line in README] == []


def test_every_source_is_cited_and_every_citation_has_a_source():
    """The numbers in brackets are those of the list of sources, and each is a link to it."""
    text, sources = PROSE.split("\n## Sources\n")
    listed = re.findall(r"^(\d+)\. ", sources, re.MULTILINE)
    assert set(re.findall(r"\[(\d+)\]", text)) == set(listed)
    assert re.findall(r"^\[(\d+)\]: #sources$", sources, re.MULTILINE) == listed


def test_every_link_within_the_lesson_leads_somewhere():
    """A link to a section has that section; a link to a picture has that picture, and no picture is left out."""
    headings = re.findall(r"^#+ (.*)$", PROSE, re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\(#([^)]*)\)", PROSE)) <= slugs
    pictures = {path.name for path in (CHAPTER / "figures").iterdir()}
    assert set(re.findall(r"\]\(figures/([^)]*)\)", PROSE)) == pictures


def test_the_pictures_are_those_that_the_script_draws(tmp_path):
    """Drawing anew gives the same files to the byte, wherever matplotlib is the one that drew them."""
    version = pytest.importorskip("matplotlib").__version__
    subprocess.run([sys.executable, DRAWING_SCRIPT, tmp_path], capture_output=True, check=True)
    drawn = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_bytes() for path in (CHAPTER / "figures").iterdir()}
    assert drawn.keys() == kept.keys()
    if any(f"Matplotlib v{version}".encode() not in picture for picture in kept.values()):
        pytest.skip(f"The pictures were drawn by another matplotlib than {version}; their glyphs may differ.")
    stale = [name for name in drawn if drawn[name] != kept[name]]
    assert not stale, "Run: python docs/figures/ch02.py"


def run_listing(source: str, num_ranks: int) -> list[dict[str, object]]:
    """Run one listing on forked ranks that meet in a file, and return output, errors and exit code of each rank."""
    with tempfile.TemporaryDirectory(prefix="listing-") as folder:
        pids = []
        for rank in range(num_ranks):
            pid = os.fork()
            if pid == 0:
                become_rank(source, rank, num_ranks, Path(folder))
            pids.append(pid)
        exit_codes = [wait_for(pid, time.monotonic() + SCRIPT_DEADLINE_S) for pid in pids]
        return [
            {
                "exit_code": exit_code,
                "output": Path(folder, f"{rank}.out").read_text(),
                "errors": Path(folder, f"{rank}.err").read_text(),
            }
            for rank, exit_code in enumerate(exit_codes)
        ]


def become_rank(source: str, rank: int, num_ranks: int, folder: Path) -> None:
    """Run the listing as its own main program under torchrun's environment, and end the process."""
    import torch.distributed as dist

    for descriptor, suffix in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder / f"{rank}.{suffix}", os.O_WRONLY | os.O_CREAT), descriptor)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(num_ranks)}
    # Instead of env://: no port to choose, and no name to look up.
    store = f"file://{folder}/store"
    dist.init_process_group = functools.partial(
        dist.init_process_group, init_method=store, rank=rank, world_size=num_ranks
    )
    exit_code = 1
    try:
        exec(compile(source, "listing", "exec"), {"__name__": "__main__"})
        exit_code = 0
    finally:
        if exit_code:
            sys.excepthook(*sys.exc_info())
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_code)


def wait_for(pid: int, deadline: float) -> int:
    """Return the exit code of a child; kill it at the deadline."""
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    import torch.distributed  # noqa: F401 - once, here, for all ranks to come

    json.dump({name: run_listing(*job) for name, job in json.load(sys.stdin).items()}, sys.stdout)
