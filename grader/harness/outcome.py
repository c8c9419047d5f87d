"""How a graded test can end, and the exception that says so."""

from enum import StrEnum

MAX_SHOWN = 20_000


class Outcome(StrEnum):
    """The end of a graded test, and of an exercise."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_ATTEMPTED = "not_attempted"
    TIMED_OUT = "timed_out"
    CRASHED = "crashed"
    NOT_GRADABLE = "not_gradable"


def shown(text: str) -> str:
    """Return `text`, parts of which student code may have written, as it may reach a terminal, a report or a page.

    What could steer a terminal, turn the reading direction or not be written as UTF-8 becomes its escape.
    """
    kept = text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}\n... and {len(text) - MAX_SHOWN} more characters"
    return "".join(char if char.isprintable() or char in "\n\t" else repr(char)[1:-1] for char in kept)


class StudentFailure(AssertionError):  # noqa: N818 - a verdict, not an error of this program
    """The code under test did not do what the test asked; the message explains it to the student."""

    def __init__(self, message: str, *, outcome: Outcome = Outcome.FAILED) -> None:
        super().__init__(shown(message))
        self.outcome = outcome


class NotGradable(Exception):  # noqa: N818 - a verdict, not an error of this program
    """The machine lacks what the test needs: neither the student's fault nor a pass."""
