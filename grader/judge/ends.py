"""How a graded test ended, read from the exception that ended it."""

from typing import NamedTuple

import pytest

from course_env.errors import CatalogError, LaunchError
from grader.harness.mistake import Mistake, named_mistake
from grader.harness.outcome import NotGradable, NotRun, Outcome, StudentFailure
from grader.harness.wording import shown


class TestEnd(NamedTuple):
    """How a graded test ended."""

    outcome: Outcome
    explanation: str
    """The whole explanation; of a hidden test it is for staff only."""

    mistake: Mistake | None
    """The kind of mistake, which a student may always read."""


def end_of(error: BaseException | None) -> TestEnd:
    """Return how a test ended that raised `error`, or that raised nothing."""
    match error:
        case None:
            return TestEnd(Outcome.PASSED, "", None)
        case StudentFailure():
            return TestEnd(error.outcome, str(error), error.mistake)
        case AssertionError():
            text = shown(str(error)) or "The assertion does not hold."
            return TestEnd(Outcome.FAILED, text, named_mistake(text) or Mistake.CHECK)
        case NotRun():
            return TestEnd(Outcome.NOT_RUN, str(error), None)
        case NotGradable() | CatalogError() | LaunchError() | pytest.skip.Exception():
            return TestEnd(Outcome.NOT_GRADABLE, shown(str(error)), None)
    text = shown(f"The test could not go on with what was returned: {type(error).__name__}: {error}")
    return TestEnd(Outcome.FAILED, text, Mistake.UNUSABLE)
