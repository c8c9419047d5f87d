"""How a graded test can end, and the exception that says so."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from grader.harness.mistake import Mistake
from grader.harness.wording import shown


class Outcome(StrEnum):
    """The end of a graded test, and of an exercise."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_ATTEMPTED = "not_attempted"
    TIMED_OUT = "timed_out"
    CRASHED = "crashed"
    NOT_GRADABLE = "not_gradable"
    NOT_RUN = "not_run"

    @property
    def words(self) -> str:
        """The outcome as a person says it."""
        return self.value.replace("_", " ")


FAILURES = frozenset({Outcome.FAILED, Outcome.CRASHED, Outcome.TIMED_OUT})
"""Outcomes that show code to be wrong. The others show nothing."""

USUAL_MISTAKES: Mapping[Outcome, Mistake] = MappingProxyType(
    {
        Outcome.FAILED: Mistake.CHECK,
        Outcome.NOT_ATTEMPTED: Mistake.NOT_ATTEMPTED,
        Outcome.TIMED_OUT: Mistake.DEADLINE,
        Outcome.CRASHED: Mistake.CRASHED,
    }
)
"""The kind of mistake if only the outcome is known."""


def still_a_gap(message: str) -> str:
    """Return what is said of an exercise that raises a stub's `message`, such as "TODO(ring_shift)"."""
    return f"Not attempted yet: {message} is still in the file."


class StudentFailure(AssertionError):  # noqa: N818 - a verdict, not an error of this program
    """The code under test did not do what the test asked.

    The message explains it to those who may know the test; of a hidden test a student may learn only `mistake`.
    """

    def __init__(self, message: str, *, outcome: Outcome = Outcome.FAILED, mistake: Mistake | None = None) -> None:
        super().__init__(shown(message))
        self.outcome = outcome
        self.mistake = mistake or USUAL_MISTAKES[outcome]


class NotRun(Exception):  # noqa: N818 - a verdict, not an error of this program
    """Another test of the same aspect has failed, so this one can change nothing."""


class NotGradable(Exception):  # noqa: N818 - a verdict, not an error of this program
    """The machine lacks what the test needs, which is neither the student's fault nor a pass."""
