"""What need not run does not run: exercises that are still the stub, and tests that can change nothing."""

from dataclasses import replace

import pytest

from grader.batch.feedback import feedback
from grader.batch.intake.find import find_submissions
from grader.batch.resume import earlier_result
from grader.course.content.stubs import chapter_stubs
from grader.harness.outcome import Outcome

AS_GIVEN = "Not attempted yet: TODO(gcd) is still in the file."


@pytest.fixture
def stubs(course):
    """Return the files of the first chapter as students get them, by their paths in a submission."""
    return {f"ch01_arithmetic/{file}": text for file, text in chapter_stubs(course.chapter("ch01")).items()}


@pytest.fixture
def wrong(golden):
    """Return a submission in which one function is wrong."""
    folder = golden("right")
    (folder / "ch01_arithmetic" / "arithmetic.py").write_text("def gcd(a, b):\n    return 1\n")
    return folder


def outcomes(result, exercise):
    """Return how the tests of an exercise of the first chapter ended."""
    (found,) = (one for one in result.chapters[0].exercises if one.exercise == exercise)
    return [test.outcome for test in found.tests]


def test_an_untouched_chapter_starts_no_judge(batch, submit, stubs, grade_class):
    """What was given out earns nothing, in no time, and its page says what is still to do."""
    result = grade_class(batch, submit("untouched", stubs))["untouched"]

    (chapter,) = result.chapters
    assert ("not_run", 0, 0.0) == (chapter.judge, chapter.judge_runs, chapter.score)
    assert {Outcome.NOT_ATTEMPTED} == {exercise.outcome for exercise in chapter.exercises}
    assert AS_GIVEN in feedback(result)


def test_an_untouched_exercise_runs_no_test(batch, submit, stubs, grade_class):
    """The other exercises of its file are graded."""
    source = stubs["ch01_arithmetic/arithmetic.py"]
    answer = source.replace('    raise NotImplementedError("TODO(sieve)")', "    return [2, 3, 5, 7]", 1)
    result = grade_class(batch, submit("half", {**stubs, "ch01_arithmetic/arithmetic.py": answer}))["half"]

    assert [] == outcomes(result, "gcd")
    assert Outcome.FAILED in outcomes(result, "sieve")


def test_an_aspect_that_has_failed_runs_no_more_of_its_tests(batch, wrong, grade_class):
    """One failure takes the aspect's share. Its other tests are not run, and the page says how many."""
    result = grade_class(batch, wrong)["right"]

    assert [Outcome.FAILED, Outcome.NOT_RUN, Outcome.NOT_RUN] == outcomes(result, "gcd")[:3]
    assert "2 more tests were not run, because a test of the same aspect has failed." in feedback(result)


def test_all_tests_run_where_that_is_asked(batch, wrong, grade_class):
    """With `--all-tests` nothing is left out, the score is the same, and a batch without it is none to resume from."""
    quick = grade_class(batch, wrong)["right"]
    whole = replace(batch, all_tests=True)
    (submission,) = find_submissions([wrong], batch.course).submissions
    assert earlier_result(submission, batch) is not None
    assert earlier_result(submission, whole) is None

    result = grade_class(whole, wrong)["right"]

    assert [Outcome.FAILED, Outcome.FAILED, Outcome.PASSED] == outcomes(result, "gcd")[:3]
    assert quick.score == result.score
