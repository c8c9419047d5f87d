"""How a graded test ended, read from the exception that ended it."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from course_env.errors import CatalogError, LaunchError
from grader.harness.mistake import Mistake, named_mistake
from grader.harness.outcome import NotGradable, NotRun, Outcome, StudentFailure
from grader.harness.wording import shown
from grader.judge.assertion import claim_of, place_of

# How pytest explains "assert 2 == 1": " +  where 2 = CommOp(rank=0, ...)". A message of the assertion's own says it in words.
_WHERE_FROM = re.compile(r"\s*\+\s+(where|and)\s")


class TestEnd(NamedTuple):
    """How a graded test ended."""

    outcome: Outcome
    explanation: str
    """The whole explanation; of a hidden test it is for staff only."""

    mistake: Mistake | None
    """The kind of mistake, which a student may always read."""


def _without_derivation(text: str) -> str:
    """Return what an assertion says that has a message of its own."""
    return "\n".join(line for line in text.splitlines() if not _WHERE_FROM.match(line))


def end_of(error: BaseException | None, root: Path) -> TestEnd:
    """Return how a test ended that raised `error`, or that raised nothing; `root` is the course's folder."""
    match error:
        case None:
            return TestEnd(Outcome.PASSED, "", None)
        case StudentFailure():
            return TestEnd(error.outcome, str(error), error.mistake)
        case AssertionError():
            claim = claim_of(error, root)
            sentence, kind = claim or ("", Mistake.CHECK)
            said = _without_derivation(str(error)) if claim and not sentence else str(error)
            text = "\n".join(filter(None, (sentence, said))) or "The assertion does not hold."
            return TestEnd(Outcome.FAILED, shown(text), named_mistake(said) or kind)
        case NotRun():
            return TestEnd(Outcome.NOT_RUN, str(error), None)
        case NotGradable() | CatalogError() | LaunchError() | pytest.skip.Exception():
            return TestEnd(Outcome.NOT_GRADABLE, shown(str(error)), None)
    place = place_of(error, root)
    text = f"The test could not go on with what was returned: {type(error).__name__}: {error}"
    return TestEnd(Outcome.FAILED, shown(f"{text}\n  {place}" if place else text), Mistake.UNUSABLE)
