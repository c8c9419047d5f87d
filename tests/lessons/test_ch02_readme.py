"""The lesson of chapter 2: its numbers are right, and it quotes the recorder in the recorder's words."""

import re
import shlex
import subprocess
import sys

import pytest

from grader.harness.comm.waiting import who_waits
from tests.harness.recorded_ranks import Recorded, log
from tests.lessons.lesson import read_lesson

LESSON = read_lesson(2)
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
    LESSON.says(words, numbers)


def test_the_steps_of_the_ring_are_what_the_indices_say():
    """In the table for four ranks, rank r sends at step s the sum over ranks r - s + 1 to r of chunk r - s."""
    for step in range(1, 4):
        sums = ["+".join("abcd"[(rank - step + hop) % 4] for hop in range(1, step + 1)) for rank in range(4)]
        row = " | ".join(f"chunk {(rank - step) % 4}: {sums[rank]}" for rank in range(4))
        LESSON.says(f"| {step} | {row} |", [])


def test_every_collective_has_its_listing():
    """There are no fewer listings than there were when the lesson was written."""
    assert len(LESSON.listings) >= 15


def test_the_first_listing_runs_by_its_own_command(tmp_path):
    """`torchrun --standalone` runs the first listing as it stands, outside of the process that runs the others."""
    listing = LESSON.listings[0]
    (tmp_path / "hello.py").write_text(listing.source)
    program, *arguments = shlex.split(listing.command)
    command = [sys.executable, "-m", {"torchrun": "torch.distributed.run"}[program], *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert sorted(re.findall(r"rank \d of \d: 1 \+ 2 = 3\.0", done.stdout)) == listing.output.splitlines()


def test_the_lesson_quotes_the_recorder_in_its_own_words():
    """What the lesson shows of a hang and of a mismatch is what the harness says."""
    hung = [Recorded(3).stuck("send", 11, peer=(rank + 1) % 3) for rank in range(3)]
    mismatched = [Recorded().call("all_reduce", line=8, reduce_op=op) for op in ("SUM", "MAX")]
    said = [who_waits(log(*hung), [""] * 3), *log(*mismatched).mismatches()]
    for sentence in said:
        LESSON.says("\n{}\n", [sentence.replace("x.py", "ring_shift.py")])
