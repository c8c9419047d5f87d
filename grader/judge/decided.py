"""Tests that need not run, because tests before them have decided the score: one that hung, or one that failed.

A hang costs its deadline, so what a hang has decided is never run. What a failure has decided is run or not, as the judge's
option says: a student alone wants to see every failure, and a class wants its grades.
"""

from dataclasses import dataclass, field

from grader.harness.mistake import Mistake
from grader.harness.outcome import FAILURES, NotRun, Outcome, StudentFailure
from grader.judge.fixtures import GradedTest


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What the tests so far have decided."""

    one_failure_an_aspect: bool
    """Whether an aspect of an exercise that has failed runs no more of its tests."""

    _hung: set[tuple[str, str, str]] = field(default_factory=set)
    _failed: set[tuple[str, str, str]] = field(default_factory=set)

    def note(self, test: GradedTest, outcome: Outcome) -> None:
        """Note how a test has ended."""
        if outcome is Outcome.TIMED_OUT:
            self._hung.add(_aspect(test))
        if outcome in FAILURES:
            self._failed.add(_aspect(test))

    def refuse(self, test: GradedTest) -> None:
        """Raise NotRun or StudentFailure if a test cannot change the score any more."""
        if self.one_failure_an_aspect and _aspect(test) in self._failed:
            raise NotRun(f"Not run: another {test.aspect} test of this exercise has failed, so it earns nothing here.")
        chapter, exercise, aspect = _aspect(test)
        if (chapter, exercise, aspect) in self._hung:
            blocker = f"another {aspect} test"
        elif (chapter, exercise, "equivalence") in self._hung:
            blocker = "an equivalence test"
        else:
            return
        text = f"Not run: {blocker} of this exercise passed its deadline."
        raise StudentFailure(text, outcome=Outcome.TIMED_OUT, mistake=Mistake.NOT_RUN)


def _aspect(test: GradedTest) -> tuple[str, str, str]:
    return test.chapter.id, test.exercise.id, test.aspect
