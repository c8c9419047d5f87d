"""`course show`, as a student meets it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from grader.cli.course import __main__ as course

REPOSITORY = Path(__file__).parents[2]
CHAPTER = "ch05_pipeline_parallelism"
RUN = "for kind, micro_batch, chunk in schedule[self.device]:"


@pytest.fixture
def solve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that makes a course of chapter 5 alone, with our runner, some of its text replaced."""
    root = tmp_path / "course"
    for tree in ("assignments", "solutions"):
        shutil.copytree(REPOSITORY / tree / CHAPTER, root / tree / CHAPTER)
    shutil.copy(REPOSITORY / "pyproject.toml", root)
    monkeypatch.chdir(root)

    def change(old: str = "", new: str = "") -> None:
        text = (root / "solutions" / CHAPTER / "pipeline_runner.py").read_text()
        assert old in text
        (root / "assignments" / CHAPTER / "pipeline_runner.py").write_text(text.replace(old, new))

    return change


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run the command; return its exit code, what it printed, and what it said of errors."""
    code = course.main(["show", *arguments])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_show_draws_a_right_solution(solve, capsys, tmp_path):
    """For a right runner, the passes of every rank are as they should be; SVG and trace hold the same passes."""
    solve()
    files = tmp_path / "ran.svg", tmp_path / "ran.json"

    code, out, _ = run(
        capsys, "ch05/pipeline_runner", "--test", "messages", "--svg", str(files[0]), "--trace", str(files[1])
    )

    assert code == 0
    assert "rank 1 ran  F0 F1 B0 F2 B1 F3 B2 B3  as it should" in out
    assert "4 send of 64 B to 2" in out
    assert "ideal: bubble 50 % of busy time" in out
    assert "\x1b" not in out
    assert max(map(len, out.partition("The picture")[0].splitlines())) <= 80
    boxes = [one for one in ET.parse(files[0]).iter() if one.get("class") == "box"]
    slices = [one for one in json.loads(files[1].read_bytes())["traceEvents"] if one.get("cat") in ("F", "B")]
    assert len(boxes) == len(slices) == 2 * 24  # what ran, and the ideal
    arrows = [one["ph"] for one in json.loads(files[1].read_bytes())["traceEvents"] if one["ph"] in "sf"]
    assert sorted(arrows) == ["f"] * 16 + ["s"] * 16


def test_marks_of_split_backward(solve, capsys):
    """Where a schedule splits backward, B and W are marked, and the first stage's B, which computes nothing, is not missed."""
    solve()

    code, out, _ = run(capsys, "ch05/pipeline_runner", "--test", "two_parts")

    assert code == 0
    assert "rank 0 ran  F0 F1 F2 W0 W1 W2  as it should" in out
    assert "rank 2 ran  F0 B0 F1 B1 F2 B2 W0 W1 W2  as it should" in out


@pytest.mark.parametrize(
    ("old", "new", "due"),
    [
        (RUN, 'for kind, micro_batch, chunk in sorted(schedule[self.device], key=lambda one: one[0] != "F"):', "^^"),
        (RUN, f"{RUN}\n            assert (kind, micro_batch, self.device) != ('B', 1, 1)", "rank 1 due"),
    ],
    ids=["wrong order", "crash half way"],
)
def test_show_draws_a_wrong_solution(solve, capsys, old, new, due):
    """Of a runner with another order, and of one that raises half way, there is a picture of what it did run."""
    solve(old, new)

    code, out, err = run(capsys, "ch05/pipeline_runner", "--test", "messages")

    assert code == 0, err
    assert due in out
    assert "rank 2 |" in out


def test_show_draws_ranks_whose_message_never_came(solve, capsys):
    """If a send is missing, the launch hangs: the rank that waits for it is drawn as waiting, and other tests were not run."""
    solve(
        "        tensor = tensor.contiguous()\n",
        '        tensor = tensor.contiguous()\n        if kind == "B" and micro_batch == 1:\n            return\n',
    )

    code, out, err = run(capsys, "ch05/pipeline_runner")

    assert code == 0, err
    assert "rank 0 ran  F0 F1 F2 B0 F3\n" in out
    (row,) = [line for line in out.splitlines() if line.startswith("rank 0 |")]
    assert row.endswith(">")
    assert "> never ended" in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["ch05/simulate"], "has no ranks that communicate"),
        (["ch05/pipeline_runner", "--test", "nothing"], "No test of ch05/pipeline_runner"),
        (["ch05/pipeline_runner", "--launch", "9"], "There is no launch 9"),
        (["ch05"], "is a whole chapter"),
    ],
)
def test_show_says_what_it_cannot_draw(solve, capsys, arguments, says):
    """What has no picture gets a sentence, and the exit code of a wrong command."""
    solve()

    code, out, err = run(capsys, *arguments)

    assert (code, out) == (2, "")
    assert says in err
