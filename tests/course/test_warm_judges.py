"""Judges that stay give the verdicts of judges for one submission, and none outlives what would spoil the next submission."""

import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from course_env.errors import LaunchError
from grader.course.catalog import Course
from grader.course.judging.judge_process import SubprocessJudge
from grader.course.judging.running_judges import StoppedError
from grader.course.judging.warm_judges import WarmJudges
from grader.course.soundness.checking import check
from grader.harness.outcome import Outcome
from grader.harness.protocol.wall import Wall
from tests.processes import eventually, running

Edit = Callable[[str, str, str], None]


@pytest.fixture
def judges(course: Course):
    """Return none yet; they start when they are needed."""
    with WarmJudges(course.root, Wall.NONE, shared=True) as warm:
        yield warm


def outcomes(judge, course, tree, names):
    """Return the outcome of every test of a submission."""
    return {record.test: record.outcome for record in judge(course.root / tree, course.select(names))}


def processes(judges):
    """Return the ids of the judges that wait."""
    return [server.process.pid for server in judges._free]


def test_each_submission_is_judged_as_by_a_separate_judge(course: Course, judges: WarmJudges) -> None:
    """One judge that stays grades solutions, stubs and solutions again as a separate judge for each would."""
    warm = SubprocessJudge(course=course, wall=Wall.NONE, judges=judges)
    own = SubprocessJudge(course=course, wall=Wall.NONE)

    for tree, exit_code in (("solutions", 0), ("assignments", 1), ("solutions", 0)):
        assert outcomes(own, course, tree, []) == outcomes(warm, course, tree, [])
        assert exit_code == warm.run(course.root / tree, course.select([])).end.exit_code

    assert 1 == len(processes(judges))


def test_as_many_are_started_as_are_needed_at_a_time(course: Course, judges: WarmJudges) -> None:
    """At most as many judges start as work at one time, and none is left after the block."""
    report = check(course.chapters, SubprocessJudge(course=course, wall=Wall.NONE, judges=judges), workers=2)

    assert report.problems == ()
    waiting = processes(judges)
    assert 1 <= len(waiting) <= 2
    judges.__exit__()
    assert not running(set(waiting))


def test_a_zygote_serves_all_submissions(course: Course, judges: WarmJudges) -> None:
    """The second submission of a judge that stays is served by the first one's zygote."""
    judge = SubprocessJudge(course=course, wall=Wall.NONE, judges=judges)
    judge(course.root / "solutions", course.select(["ch01/gcd"]))
    (server,) = processes(judges)
    before = children(server)

    judge(course.root / "assignments", course.select(["ch01/gcd"]))

    assert before
    assert before == children(server)


def test_each_submission_has_a_zygote_of_its_own_and_the_next_one_s_starts_ahead(
    course: Course, tmp_path: Path
) -> None:
    """All chapters of a submission share its zygote; the next submission gets the one that was started meanwhile."""
    folders = [shutil.copytree(course.root / "solutions", tmp_path / name) for name in ("one", "two")]
    with WarmJudges(course.root, Wall.NONE, shared=False) as judges:
        judges.expect(2)
        judge = SubprocessJudge(course=course, wall=Wall.NONE, judges=judges)

        judge(folders[0], course.select(["ch01/gcd"]))
        (server,) = processes(judges)
        own, ahead = sorted(children(server), key=int)
        judge(folders[0], course.select(["ch01/tally"]))
        assert {own, ahead} == set(children(server))

        judge(folders[1], course.select(["ch01/gcd"]))
        assert [ahead] == children(server)


def children(pid):
    """Return the ids of a process's children."""
    return subprocess.run(["ps", "--ppid", str(pid), "-o", "pid="], capture_output=True, text=True).stdout.split()  # noqa: PLW1510


@pytest.mark.usefixtures("fourth_test_hangs")
def test_one_past_its_limit_is_ended_and_the_next_is_another(course: Course, judges: WarmJudges) -> None:
    """A judge past its limit is ended, what it had finished counts, and the next submission gets another judge."""
    judge = SubprocessJudge(course=course, wall=Wall.NONE, judges=judges, time_limit_s=5)

    run = judge.run(course.root / "solutions", course.select(["ch01/gcd"]))

    assert [record.outcome for record in run.records[:4]] == [*[Outcome.PASSED] * 3, Outcome.NOT_GRADABLE]
    assert run.end.cut
    assert [] == processes(judges)
    assert {Outcome.PASSED} == set(outcomes(judge, course, "solutions", ["ch01/tally"]).values())


def test_one_that_dies_says_so(course: Course, judges: WarmJudges, edit: Edit) -> None:
    """A judge that stays and dies reports its signal, and the next submission gets another judge."""
    edit("assignments/ch02_text/test_cipher.py", "from grader.harness import exercise\n", "import os\nos.abort()\n")
    judge = SubprocessJudge(course=course, wall=Wall.NONE, judges=judges)

    with pytest.raises(LaunchError, match="ended by signal SIGABRT"):
        judge(course.root / "solutions", course.select(["ch02"]))

    assert {Outcome.PASSED} == set(outcomes(judge, course, "solutions", ["ch01/tally"]).values())


def test_they_can_be_stopped_from_another_thread(course: Course, judges: WarmJudges) -> None:
    """stop() from another thread ends the judge at work, and no other starts afterwards."""
    judge = SubprocessJudge(course=course, wall=Wall.NONE, judges=judges)
    judge(course.root / "solutions", course.select(["ch01/tally"]))
    (server,) = processes(judges)
    stopper = threading.Timer(0.1, judges.stop)
    stopper.start()

    with pytest.raises(StoppedError):
        forever(judge, course)

    stopper.join()
    assert eventually(lambda: not running({server}))


def forever(judge, course):
    """Judge the same again and again."""
    while True:
        judge(course.root / "solutions", course.select([]))
