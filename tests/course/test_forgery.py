"""`grade check` tells the mutants that nothing catches but what their own ranks say, and each must be declared."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from grader.course.catalog import Course, Selected
from grader.course.content.mutants import IN_THE_RANK
from grader.course.judging.judge_process import Judge
from grader.course.judging.report import Record
from grader.course.soundness.checking import CheckReport, check
from grader.harness.outcome import Outcome

S = "solutions/ch01_arithmetic/mutants"
FORGED = "gcd-returns_the_rest"


class RankJudge:
    """A judge whose tests rest on what ranks say; a mutant whose ranks say what the solution's said fails only by `seen`."""

    def __init__(self, judge: Judge, *, rests_on_ranks: bool, seen: bool) -> None:
        self._judge = judge
        self._rests_on_ranks = rests_on_ranks
        self._seen = seen
        self.kept: list[Path] = []
        self.forged: list[Path] = []

    def __call__(
        self,
        submission: Path,
        selected: Sequence[Selected],
        *,
        first_failure_only: bool = False,
        keep: Path | None = None,
        forge: Path | None = None,
    ) -> list[Record]:
        """Judge, and remember what was to be kept and said again."""
        self.kept += [keep] if keep else []
        self.forged += [forge] if forge else []
        records = self._judge(submission, selected, first_failure_only=first_failure_only)
        passes = forge is not None and not self._seen and "return b" in _arithmetic(submission)
        return [self._as_told(record, passes=passes) for record in records]

    def _as_told(self, record: Record, *, passes: bool) -> Record:
        outcome = Outcome.PASSED if passes else record.outcome
        return msgspec.structs.replace(record, outcome=outcome, rests_on_ranks=self._rests_on_ranks)


def _arithmetic(submission: Path) -> str:
    return (submission / "ch01_arithmetic" / "arithmetic.py").read_text()


def checked(course: Course, judge: Judge) -> CheckReport:
    """Check the chapter of arithmetic."""
    return check([course.chapter("ch01")], judge, workers=1)


@pytest.fixture
def declared(root: Path) -> None:
    """Have the patch say that nothing else catches it."""
    path = root / S / f"{FORGED}.patch"
    head, fault, diff = path.read_text().split("\n", 2)
    path.write_text(f"{head}\n{fault}\n{IN_THE_RANK}\n{diff}")


def test_a_mutant_that_passes_when_its_ranks_lie_must_say_so(course: Course, judge: Judge) -> None:
    """The problem names the patch, and what to do."""
    report = checked(course, RankJudge(judge, rests_on_ranks=True, seen=False))

    (problem,) = report.problems
    assert f"{S}/{FORGED}.patch" == problem.where
    assert "is caught by nothing but what its ranks say of themselves" in problem.what
    assert f"or say '{IN_THE_RANK}' on its third line." in problem.todo
    assert (FORGED,) == report.proofs[0].forgeable


@pytest.mark.usefixtures("declared")
def test_a_mutant_that_says_so_is_no_problem(course: Course, judge: Judge) -> None:
    """It still applies, and is listed."""
    report = checked(course, RankJudge(judge, rests_on_ranks=True, seen=False))

    assert () == report.problems
    assert (FORGED,) == report.proofs[0].forgeable


@pytest.mark.usefixtures("declared")
@pytest.mark.parametrize("rests_on_ranks", [True, False])
def test_what_is_caught_by_chance_may_be_declared(course: Course, judge: Judge, *, rests_on_ranks: bool) -> None:
    """A wait that is forgotten shows in values now and then; the patch says what to count on."""
    report = checked(course, RankJudge(judge, rests_on_ranks=rests_on_ranks, seen=True))

    assert () == report.problems
    assert () == report.proofs[0].forgeable


def test_only_what_rests_on_ranks_is_tried_again(course: Course, judge: Judge) -> None:
    """A mutant that its values gave away costs one run."""
    by_values = RankJudge(judge, rests_on_ranks=False, seen=False)
    by_ranks = RankJudge(judge, rests_on_ranks=True, seen=True)

    assert () == checked(course, by_values).problems
    assert () == checked(course, by_ranks).problems

    assert [] == by_values.forged
    assert 9 == len(by_ranks.forged)
    assert by_ranks.kept == [by_ranks.forged[0]]
