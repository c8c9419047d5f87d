"""The judge as a process, on the mini course: the real thing, from pytest to records."""

from collections.abc import Callable

import pytest

from course_env.errors import LaunchError
from grader.course.catalog import Course
from grader.course.judging.judge_process import SubprocessJudge
from grader.course.soundness.checking import check
from grader.harness.outcome import Outcome
from grader.harness.protocol.wall import Wall

Edit = Callable[[str, str, str], None]


def test_the_mini_course_is_sound(course: Course) -> None:
    """On real ranks, in a separate judge each, stubs earn nothing, solutions everything, and every mutant dies."""
    report = check(course.chapters, SubprocessJudge(course=course, wall=Wall.NONE))

    assert report.problems == ()
    assert [str(proof) for proof in report.proofs] == [
        "ch01_arithmetic: stubs 0 of 15, solutions 15 of 15, 9 mutants killed",
        "ch02_text: stubs 0 of 1, solutions 1 of 1, 3 mutants killed",
    ]


def test_only_the_selected_exercises_are_graded_hidden_tests_included(course: Course) -> None:
    """Every record is of the selected exercise, whose public and hidden tests are both graded."""
    records = SubprocessJudge(course=course, wall=Wall.NONE)(course.root / "solutions", course.select(["ch01/tally"]))

    assert {record.exercise for record in records} == {"tally"}
    assert {(record.hidden, record.outcome) for record in records} == {(False, Outcome.PASSED), (True, Outcome.PASSED)}


def test_after_a_first_failure_the_rest_has_no_evidence(course: Course) -> None:
    """Tests that are left out after a first failure neither pass nor fail."""
    judge = SubprocessJudge(course=course, wall=Wall.NONE)

    first, *rest = judge(course.root / "assignments", course.select(["ch01"]), first_failure_only=True)

    assert first.outcome is Outcome.NOT_ATTEMPTED
    assert {record.outcome for record in rest} == {Outcome.NOT_GRADABLE}


@pytest.mark.usefixtures("fourth_test_hangs")
def test_a_judge_past_its_limit_is_cut(course: Course) -> None:
    """What a judge had finished at its time limit counts, and the rest says why it has no result."""
    records = SubprocessJudge(course=course, wall=Wall.NONE, time_limit_s=5)(
        course.root / "solutions", course.select(["ch01/gcd"])
    )

    assert [record.outcome for record in records[:4]] == [*[Outcome.PASSED] * 3, Outcome.NOT_GRADABLE]
    assert records[3].explanation.startswith(
        "The judge ended before this test did. The judge was ended at its limit of 5 s."
    )


def test_a_judge_that_cannot_collect_says_why(course: Course, edit: Edit) -> None:
    """The error of a judge that cannot collect its tests ends with the last lines of its output."""
    edit("assignments/ch02_text/test_cipher.py", '"caesar", aspect="equivalence"', '"cesar", aspect="equivalence"')

    with pytest.raises(LaunchError) as error:
        SubprocessJudge(course=course, wall=Wall.NONE)(course.root / "solutions", course.select(["ch02"]))

    message = str(error.value)
    assert message.startswith(
        "The judge did not get as far as collecting its tests. The judge ended with exit code 4. "
    )
    assert "ch02_text has no exercise 'cesar'. Known: caesar. Did you mean 'caesar'?" in message


def test_a_hidden_test_file_that_cannot_be_imported_gives_no_points(course: Course, edit: Edit) -> None:
    """If a hidden test file cannot be imported, the public tests alone earn nothing."""
    edit("solutions/ch02_text/test_cipher_hidden.py", "from grader.harness import exercise\n", "import nowhere\n")

    try:
        records = SubprocessJudge(course=course, wall=Wall.NONE)(course.root / "solutions", course.select(["ch02"]))
    except LaunchError:
        records = []

    assert Outcome.PASSED not in {record.outcome for record in records}
