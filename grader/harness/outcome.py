"""How a graded test can end, and the exception that says so."""

from enum import StrEnum


class Outcome(StrEnum):
    """The end of a graded test, and of an exercise."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_ATTEMPTED = "not_attempted"
    TIMED_OUT = "timed_out"
    CRASHED = "crashed"
    NOT_GRADABLE = "not_gradable"


class StudentFailure(AssertionError):  # noqa: N818 - a verdict, not an error of this program
    """The code under test did not do what the test asked; the message explains it to the student."""

    def __init__(self, message: str, *, outcome: Outcome = Outcome.FAILED) -> None:
        super().__init__(message)
        self.outcome = outcome


class NotGradable(Exception):  # noqa: N818 - a verdict, not an error of this program
    """The machine lacks what the test needs: neither the student's fault nor a pass."""
