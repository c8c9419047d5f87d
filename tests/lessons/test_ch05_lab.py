"""The lab of chapter 5 runs as a student runs it, and shows what the lesson says of it."""

from pathlib import Path

import pytest

from tests.lessons.lab import cells_of, run_lab

ROOT = Path(__file__).resolve().parents[2]
CHAPTER = ROOT / "assignments/ch05_pipeline_parallelism"
SOLUTIONS = ROOT / "solutions/ch05_pipeline_parallelism"


def rows_of(*options):
    """Run the lab; return the cells of each row by its name."""
    printed = run_lab(CHAPTER / "lab/compare.py", ROOT, *options, timeout_s=600)
    rows = [cells_of(line) for line in printed.splitlines()[3:]]
    return {row[0]: row[1:] for row in rows}


@pytest.fixture(scope="module")
def solved():
    """Return what the lab printed for somebody who has solved the exercises."""
    return rows_of("--answers", SOLUTIONS)


def test_all_schedules_have_the_gradients_of_one_process(solved):
    """Yours and PyTorch's seven schedules have the gradients of one process, up to rounding."""
    assert len(solved) == 11
    for name, cells in solved.items():
        assert float(cells[0]) < 1e-12, name


def test_messages_are_those_of_the_lesson(solved):
    """Rank 0 sends m messages with one chunk; with two it sends three times as many, PyTorch's as yours."""
    assert solved["your 1F1B"][1] == solved["PyTorch's 1F1B"][1] == "8 16 16 8"
    assert solved["your interleaved 1F1B"][1] == solved["PyTorch's interleaved 1F1B"][1] == "24 32 32 24"


def test_what_is_not_written_yet_is_left_out():
    """With stubs, the rows of one's own say so, and PyTorch's are there."""
    rows = rows_of("--micro-batches", 8)
    assert rows["your 1F1B"] == ["not written yet"]
    assert float(rows["PyTorch's 1F1B"][0]) < 1e-12
