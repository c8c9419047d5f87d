"""No submission earns a point that it did not earn, reads what it may not, or harms a batch."""

import pytest

from tests.submissions.attack import good_beside
from tests.submissions.case import load_cases

CASES = load_cases()
cases = pytest.mark.parametrize("case", CASES, ids=str)


@cases
def test_a_case_ends_with_its_verdict(aftermath, case):
    """Each exercise has the outcome, the score and the explanation that the case says, and no other exercise has any."""
    result = aftermath.results[str(case)]
    graded = [chapter for chapter in result.chapters if chapter.taken or chapter.left_out or chapter.judge != "not_run"]
    exercises = {exercise.exercise: exercise for chapter in graded for exercise in chapter.exercises}

    expected = {name: (verdict.outcome, verdict.score) for name, verdict in case.verdicts.items()}
    found = {name: (exercises[name].outcome.value, exercises[name].score) for name in expected}
    told = "\n".join(f"{name}: {exercise.explanation}" for name, exercise in exercises.items())
    assert expected == found, told
    assert sum(verdict.score for verdict in case.verdicts.values()) == result.score
    for name, verdict in case.verdicts.items():
        said = f"{exercises[name].explanation}\n{exercises[name].hidden_explanation}"
        assert [] == [part for part in verdict.says if part not in said], said
        seen = f"{aftermath.output}\n{aftermath.written}"
        assert [] == [part for part in verdict.never if part in seen], said
    left_out = {left.path for chapter in graded for left in chapter.left_out}
    assert set(case.left_out) <= left_out


@cases
def test_a_good_submission_beside_a_case_is_unharmed(aftermath, case):
    """Whoever is graded next has full marks."""
    result = aftermath.results[good_beside(case)]

    for chapter in result.chapters:
        if chapter.taken:
            assert chapter.points == chapter.score, [exercise.explanation for exercise in chapter.exercises]
    assert any(chapter.taken for chapter in result.chapters)


def test_every_judge_ends_by_itself(aftermath):
    """No submission ends the judge, or makes it run into its own time limit."""
    chapters = [(name, chapter) for name, result in aftermath.results.items() for chapter in result.chapters]

    assert [] == [name for name, chapter in chapters if chapter.judge not in {"ended", "not_run"}]
    assert 1 == aftermath.exit_code, aftermath.output


def test_no_process_is_left(aftermath):
    """What a submission starts ends with its launch."""
    assert [] == list(aftermath.processes)


def test_no_mount_is_left(aftermath):
    """The machine's file systems are as they were."""
    assert [] == list(aftermath.mounts)


def test_no_file_is_left(aftermath):
    """Nothing is written outside a launch's own folders, and those are gone."""
    assert [] == list(aftermath.files)


def test_nobody_came_out_over_the_network(aftermath):
    """No port and no socket of the machine was reached, by any protocol."""
    assert [] == list(aftermath.visits)


def test_the_secret_is_nowhere(aftermath):
    """What stands in a file and in the grader's environment is in no result, on no page, and not on the terminal."""
    assert aftermath.secret not in aftermath.output
    assert aftermath.secret not in aftermath.written


def test_every_result_says_which_wall_it_was_behind(aftermath):
    """All were graded behind the wall that the corpus asks for."""
    assert {"nested"} == {result.wall.value for result in aftermath.results.values()}
