"""What comes back from ranks may keep a judge computing; that costs the submission the test, and nobody anything else."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from grader.course.catalog import Course
from grader.course.judging.judge_process import MAX_TURNS, JudgeRun, SubprocessJudge
from grader.course.judging.own_time import OwnTime
from grader.course.judging.report import JudgeProgress
from grader.course.judging.running_judges import RunningJudges
from grader.course.judging.warm_judges import WarmJudges
from grader.harness.mistake import Mistake
from grader.harness.outcome import Outcome
from grader.harness.protocol.wall import Wall

Edit = Callable[[str, str, str], None]
TESTS = "assignments/ch01_arithmetic/test_arithmetic.py"
OWN_TIME_S = 1.0


@pytest.fixture(params=["separate", "shared", "apart"])
def judges(request: pytest.FixtureRequest, course: Course) -> Iterator[RunningJudges]:
    """Return judges that end after each submission, and judges that stay."""
    if request.param == "separate":
        yield RunningJudges()
    else:
        with WarmJudges(course.root, Wall.NONE, shared=request.param == "shared") as warm:
            yield warm


@pytest.fixture
def trusting(edit: Edit, root: Path) -> None:
    """Have tests count up to what was returned, in one call into C, which no signal handler and no thread can interrupt."""
    for number in ("7, 0) == 7", "a, b) == math.gcd(a, b)"):
        call, expected = number.split(" == ")
        edit(TESTS, f"student.gcd({call} == {expected}", f"sum(range(student.gcd({call})) == sum(range({expected}))")
    edit(
        TESTS,
        '@exercise("gcd", aspect="equivalence")\n',
        "@pytest.fixture(autouse=True)\ndef noted(request):\n"
        f"    with open({str(root / 'noted')!r}, 'a') as file:\n        file.write(request.node.name + '\\n')\n\n\n"
        '@exercise("gcd", aspect="equivalence")\n',
    )


def judged(course: Course, judges: RunningJudges, wrong: str, **options: bool) -> JudgeRun:
    """Judge solutions that return an enormous number where `wrong` says so."""
    file = course.root / "solutions/ch01_arithmetic/arithmetic.py"
    file.write_text(
        f"{file.read_text()}\n\nright = gcd\n\n\ndef gcd(a, b):\n    return 10**15 if {wrong} else right(a, b)\n"
    )
    judge = SubprocessJudge(course=course, wall=Wall.NONE, judges=judges, own_time_s=OWN_TIME_S)
    return judge.run(course.root / "solutions", course.select(["ch01"]), **options)


@pytest.mark.usefixtures("trusting")
def test_the_test_is_lost_and_all_others_count(course: Course, judges: RunningJudges) -> None:
    """The test that held the judge says why it failed; every other test is run once, and the judge has ended in order."""
    run = judged(course, judges, "b == 0")

    (held,) = [record for record in run.records if record.outcome is not Outcome.PASSED]
    assert held.test.endswith("test_gcd_with_zero_is_the_other_number")
    assert (Outcome.TIMED_OUT, Mistake.HOLDS_JUDGE) == (held.outcome, held.mistake)
    assert held.explanation.startswith(
        "The judge computed for more than 1 s with what was returned here, and was ended."
    )
    assert run.is_whole
    assert run.end.in_order
    names = (course.root / "noted").read_text().splitlines()
    assert len(names) == len(set(names)) == sum(TESTS in record.test for record in run.records)


@pytest.mark.usefixtures("trusting")
def test_a_submission_cannot_hold_judges_for_ever(course: Course, judges: RunningJudges) -> None:
    """After a few tests that held a judge the others are not run, and say so; what was earned before stays."""
    run = judged(course, judges, "a > 7")  # three tests of one kind and two hidden ones

    first, second, third, *rest = run.records
    assert MAX_TURNS == 3
    assert [Mistake.HOLDS_JUDGE] * 3 == [record.mistake for record in (first, second, third)]
    assert {"Not run: what was returned in tests before this one kept the judge computing for too long."} == {
        record.explanation for record in rest
    }
    assert run.is_whole


@pytest.mark.usefixtures("trusting")
def test_it_counts_as_a_first_failure(course: Course, judges: RunningJudges) -> None:
    """Where tests after the first failure are left out, they are left out after this one."""
    run = judged(course, judges, "b == 0", first_failure_only=True)

    outcomes = [record.outcome for record in run.records]
    assert [*[Outcome.PASSED] * 3, Outcome.TIMED_OUT] == outcomes[:4]
    assert {Outcome.NOT_GRADABLE} == set(outcomes[4:])


def test_who_only_waits_holds_nobody(course: Course, edit: Edit) -> None:
    """What counts is processor time: neither a test that waits nor a machine that is busy with others ends a judge."""
    edit(
        TESTS, "    assert student.gcd(7, 0) == 7", "    import time; time.sleep(3)\n    assert student.gcd(7, 0) == 7"
    )
    judge = SubprocessJudge(course=course, wall=Wall.NONE, own_time_s=OWN_TIME_S)

    run = judge.run(course.root / "solutions", course.select(["ch01/gcd"]))

    assert {Outcome.PASSED} == {record.outcome for record in run.records}


def test_the_time_of_each_test_begins_at_zero() -> None:
    """What a judge computed before it turned to a test, and for other tests, does not count for this one."""
    own_time = OwnTime(os.getpid())
    begun, later = JudgeProgress(every=2, running="a"), JudgeProgress(every=2, finished=frozenset("a"), running="b")
    assert own_time.of_running_test(begun) == 0.0
    compute(0.1)
    assert own_time.of_running_test(begun) >= 0.05

    assert own_time.of_running_test(later) == 0.0
    compute(0.1)
    assert own_time.of_running_test(JudgeProgress(every=2, finished=frozenset("ab"))) == 0.0


def compute(seconds: float) -> None:
    """Use this much processor time."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
