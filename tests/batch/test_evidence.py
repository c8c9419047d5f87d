"""Judges that die, and judges that are ended."""

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from course_env.errors import CatalogError
from grader.course.judging.judge_process import SubprocessJudge
from grader.course.judging.running_judges import RunningJudges, StoppedError
from grader.harness.mistake import Mistake
from grader.harness.protocol.wall import Wall
from tests.processes import descendants

SLEEPS = """
import time

def gcd(a, b):
    time.sleep(0.2)
    while b:
        a, b = b, a % b
    return a
"""

HOLDS_ITS_JUDGE = """

right = gcd

def gcd(a, b):
    return right(a, b) if b else 10**15
"""

# There is no wall yet, so a submission can find its judge among its ancestors and kill it.
KILLS_ITS_JUDGE = """
import os
import signal
from pathlib import Path

def gcd(a, b):
    pid = os.getpid()
    while b"grader.judge.serve" not in Path(f"/proc/{pid}/cmdline").read_bytes():
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(pid, signal.SIGKILL)
"""


def wait_for_judge(judges: RunningJudges) -> int:
    """Return the process id of a judge once it runs a rank, which takes a zygote: a child."""
    while True:
        for process in list(judges._processes):
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            if children.exists() and children.read_text():
                return process.pid
        time.sleep(0.02)


def test_a_judge_that_is_killed_once_changes_no_score(batch, golden, grade_class):
    """A kill -9 of a judge in the middle of a batch costs a second run and nothing else."""
    killer = threading.Thread(target=lambda: os.kill(wait_for_judge(batch.running_judges), signal.SIGKILL))
    killer.start()

    results = grade_class(batch, golden("missing_file"), golden("right"), workers=1)
    killer.join()

    assert [2, 1] == [results[name].chapters[0].judge_runs for name in ("missing_file", "right")]
    assert [10.0, 15.0] == [results[name].score for name in ("missing_file", "right")]
    assert {"ended"} == {result.chapters[0].judge for result in results.values()}


def test_a_submission_that_kills_its_judge_earns_nothing_unseen(batch, submit, golden, grade_class):
    """After a second death, tests without evidence earn nothing and say why, and the batch goes on."""
    files = {"arithmetic.py": KILLS_ITS_JUDGE, "tally.py": ""}
    folder = submit("killer", {f"ch01_arithmetic/{name}": text for name, text in files.items()})

    results = grade_class(batch, folder, golden("right"))

    (chapter,) = results["killer"].chapters
    assert ("died", -9, 2) == (chapter.judge, chapter.judge_exit_code, chapter.judge_runs)
    assert ["crashed"] * 3 == [exercise.outcome.value for exercise in chapter.exercises]
    explanation = (
        "This test has no result. The judge was ended by signal SIGKILL. That happened in 2 runs, so tests that had "
        "not finished earn nothing."
    )
    assert {explanation} == {exercise.explanation for exercise in chapter.exercises}
    assert 0.0 == results["killer"].score
    assert 15.0 == results["right"].score


def test_a_submission_that_holds_its_judge_ends_no_batch(batch, submit, golden, root, grade_class):
    """A value that keeps the judge computing costs its test, and neither a second run nor the rest of the batch."""
    file = root / "assignments/ch01_arithmetic/test_arithmetic.py"
    file.write_text(file.read_text().replace("student.gcd(7, 0) == 7", "sum(range(student.gcd(7, 0))) == 21"))
    right = golden("right")
    files = {f"ch01_arithmetic/{path.name}": path.read_text() for path in (right / "ch01_arithmetic").glob("*.py")}
    files["ch01_arithmetic/arithmetic.py"] += HOLDS_ITS_JUDGE

    results = grade_class(replace(batch, own_time_s=1.0), submit("holder", files), right)

    (chapter,) = results["holder"].chapters
    assert ("ended", 1, 1) == (chapter.judge, chapter.judge_exit_code, chapter.judge_runs)
    (held,) = [test for exercise in chapter.exercises for test in exercise.tests if test.outcome != "passed"]
    assert ("timed_out", Mistake.HOLDS_JUDGE) == (held.outcome, held.mistake)
    assert 15.0 == results["right"].score
    assert 0.0 < results["holder"].score < 15.0


def test_tests_that_cannot_be_collected_are_the_courses_fault(batch, root, golden, grade_class):
    """No submission is blamed for a course that is broken; the error says which chapter and shows the judge's words."""
    (root / "solutions/ch01_arithmetic/test_tally_hidden.py").write_text("import nothing_of_that_name\n")

    with pytest.raises(CatalogError) as raised:
        grade_class(batch, golden("right"))

    assert str(raised.value).startswith(
        "The tests of ch01_arithmetic cannot be collected, so no submission can be graded. "
        "The judge ended with exit code 2. Fix them, then run `grade check ch01`. The judge's last lines:\n"
    )
    assert "nothing_of_that_name" in str(raised.value)
    assert not (batch.results / "right.json").exists()


def test_a_judge_past_its_limit_is_cut(course, golden, tmp_path):
    """A judge that runs past its limit is ended, and the records say so."""
    judges = RunningJudges()
    judge = SubprocessJudge(course=course, wall=Wall.NONE, judges=judges, time_limit_s=4.0)

    run = judge.run(golden("hangs"), course.select(["ch01"]))

    assert run.end.cut
    assert not run.end.in_order
    assert not run.is_whole
    assert {"The judge ended before this test did. The judge was ended at its limit of 4 s."} == {
        record.explanation for record in run.records if record.outcome == "not_gradable"
    }


def test_stop_ends_every_judge_with_its_ranks(course, golden):
    """After stop() no process of a judge is left, and no other judge can start."""
    judges = RunningJudges()
    judge = SubprocessJudge(course=course, wall=Wall.NONE, judges=judges)
    folder, caught = golden("hangs"), []

    def run() -> None:
        try:
            judge(folder, course.select(["ch01"]))
        except StoppedError as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    pid = wait_for_judge(judges)
    time.sleep(0.5)
    family = [pid, *descendants(pid)]
    judges.stop()
    thread.join(timeout=10)

    assert 1 == len(caught)
    deadline = time.monotonic() + 5
    while any(Path(f"/proc/{process}").exists() for process in family) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [] == [process for process in family if Path(f"/proc/{process}").exists()]
    with pytest.raises(StoppedError):
        judge(folder, course.select(["ch01"]))


def test_a_watched_judge_tells_how_far_it_is(course, submit):
    """The last report says that all tests are finished."""
    told = []
    folder = submit("slow", {"ch01_arithmetic/arithmetic.py": SLEEPS})
    judge = SubprocessJudge(
        course=course, wall=Wall.NONE, judges=RunningJudges(), watch=lambda done, every: told.append((done, every))
    )

    records = judge(folder, course.select(["ch01/gcd"]))

    assert {len(records)} == {every for _, every in told}
    assert sorted(told) == told


def test_public_only_leaves_hidden_tests_out(course):
    """A student's check runs only public tests, also in the repository that holds the hidden ones."""
    judge = SubprocessJudge(course=course, wall=Wall.NONE, judges=RunningJudges(), public_only=True)

    records = judge(course.root / "solutions", course.select(["ch01/tally"]))

    assert [False] == [record.hidden for record in records]
