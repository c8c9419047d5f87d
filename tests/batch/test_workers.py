"""A class on several workers has the same results in any order."""

import msgspec
import pytest

from grader.batch.batch import plan_batch
from grader.harness.protocol.wall import Wall

CASES = ("right", "missing_file", "half_right", "rank_exits", "syntax_error")


def as_data(result):
    """Return a result as it stands in its file, without what a clock decides."""
    return without_seconds(msgspec.json.decode(msgspec.json.encode(result)))


def without_seconds(value):
    """Return plain data without its seconds."""
    if isinstance(value, dict):
        return {key: without_seconds(part) for key, part in value.items() if key != "seconds"}
    if isinstance(value, list):
        return [without_seconds(part) for part in value]
    return value


@pytest.fixture
def folders(golden):
    """Return a small class."""
    return [golden(case) for case in CASES]


def test_results_do_not_depend_on_the_number_of_workers(course, folders, grade_class, tmp_path):
    """One worker and two give the same results, apart from seconds, in whatever order submissions are done."""
    results = []
    for workers in (1, 2):
        batch = plan_batch(course, course.chapters[:1], seed=7, wall=Wall.NONE, out=tmp_path / f"out{workers}")
        ordered = folders if workers == 1 else folders[::-1]
        graded = grade_class(batch, *ordered, workers=workers)
        results.append({name: as_data(graded[name]) for name in sorted(graded)})

    assert results[0] == results[1]
