"""How a graded test can end, and the exception that says so."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from grader.harness.mistake import Mistake

MAX_SHOWN = 20_000


class Outcome(StrEnum):
    """The end of a graded test, and of an exercise."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_ATTEMPTED = "not_attempted"
    TIMED_OUT = "timed_out"
    CRASHED = "crashed"
    NOT_GRADABLE = "not_gradable"


USUAL_MISTAKES: Mapping[Outcome, Mistake] = MappingProxyType(
    {
        Outcome.FAILED: Mistake.CHECK,
        Outcome.NOT_ATTEMPTED: Mistake.NOT_ATTEMPTED,
        Outcome.TIMED_OUT: Mistake.DEADLINE,
        Outcome.CRASHED: Mistake.CRASHED,
    }
)
"""The kind of mistake where no more is known than the outcome."""


def shown(text: str) -> str:
    """Return `text`, parts of which student code may have written, as it may reach a terminal, a report or a page.

    What could steer a terminal, turn the reading direction or not be written as UTF-8 becomes its escape, and the end of
    a long text is left out. What was shown once stays as it is.
    """
    escaped = "".join(
        char if char.isprintable() or char in "\n\t" else repr(char)[1:-1] for char in text[: MAX_SHOWN + 1]
    )
    if len(escaped) <= MAX_SHOWN:
        return escaped
    note = f"\n... cut here: {len(text)} characters in all"
    return escaped[: MAX_SHOWN - len(note)] + note


class StudentFailure(AssertionError):  # noqa: N818 - a verdict, not an error of this program
    """The code under test did not do what the test asked.

    The message explains it to whoever may know the test; `mistake` is all that may be told of a hidden one.
    """

    def __init__(self, message: str, *, outcome: Outcome = Outcome.FAILED, mistake: Mistake | None = None) -> None:
        super().__init__(shown(message))
        self.outcome = outcome
        self.mistake = mistake or USUAL_MISTAKES[outcome]


class NotGradable(Exception):  # noqa: N818 - a verdict, not an error of this program
    """The machine lacks what the test needs: neither the student's fault nor a pass."""
