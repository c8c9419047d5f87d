"""Golden submissions: every folder in submissions/ is graded, and must end as its expected.json says."""

import json
from pathlib import Path

import pytest

from grader.batch.batch import plan_batch
from grader.batch.result import read_result
from grader.harness.protocol.wall import Wall

SUBMISSIONS = Path(__file__).parent / "submissions"
CASES = sorted(path.parent.name for path in SUBMISSIONS.glob("*/expected.json"))


@pytest.mark.parametrize("case", CASES)
def test_submission_ends_as_expected(graded_golden, case):
    """Score, outcome and explanation of each exercise are those of the case; one bad file costs no other its points."""
    expected = json.loads((SUBMISSIONS / case / "expected.json").read_text())

    (chapter,) = read_result(graded_golden.results / f"{case}.json").chapters

    assert list(expected) == [exercise.exercise for exercise in chapter.exercises]
    for exercise in chapter.exercises:
        wanted = expected[exercise.exercise]
        assert (wanted["score"], wanted["outcome"]) == (exercise.score, exercise.outcome.value)
        if "explanation" in wanted:
            assert wanted["explanation"] == exercise.explanation
        else:
            assert wanted["explanation_has"] in exercise.explanation
        if "hidden_explanation_has" in wanted:
            assert wanted["hidden_explanation_has"] in exercise.hidden_explanation
        else:
            assert "" == exercise.hidden_explanation


def test_an_empty_folder_has_a_result_too(batch, submit, golden, grade_class):
    """An empty folder earns nothing, its explanation says what was expected, and the rest of the batch goes on."""
    results = grade_class(batch, submit("empty", {}), golden("right"))

    assert 0.0 == results["empty"].score
    explanation = (
        "Nothing was handed in for ch01_arithmetic. The submission is an empty folder. "
        "Expected: ch01_arithmetic/ with arithmetic.py, tally.py."
    )
    assert {explanation} == {exercise.explanation for exercise in results["empty"].chapters[0].exercises}
    assert 15.0 == results["right"].score


def test_a_result_says_what_was_run(graded_golden):
    """A result holds world sizes, hidden tests, files, the seed, the judge's end and the wall."""
    result = read_result(graded_golden.results / "right.json")
    (chapter,) = result.chapters
    tally = chapter.exercises[2]

    assert ("none", 7) == (result.wall, result.seed)
    assert ("ended", 0, 1) == (chapter.judge, chapter.judge_exit_code, chapter.judge_runs)
    assert ["arithmetic.py", "tally.py"] == [taken.file for taken in chapter.taken]
    assert (1, 2) == tally.world_sizes
    assert [False, True, True] == [test.hidden for test in tally.tests]


def test_a_chapter_that_was_not_handed_in_counts(course, batch, golden, grade_class):
    """A missing chapter earns nothing and its points count, so that all are graded out of the same points."""
    whole = plan_batch(course, course.chapters, seed=7, wall=Wall.NONE, out=batch.out)

    result = grade_class(whole, golden("right"))["right"]

    assert (15.0, 16) == (result.score, result.points)
    assert (
        "Nothing was handed in for ch02_text. The submission holds only ch01_arithmetic. "
        "Expected: ch02_text/ with cipher.py." == result.chapters[1].exercises[0].explanation
    )
