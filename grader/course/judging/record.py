"""What the judge reported about each graded test: the JSON lines of `pytest --report FILE`, read strictly.

A test counts as passed only if the judge wrote so. One that was collected and never finished is `not_gradable`: the judge
died, which is nobody's zero and nobody's full score.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from course_env.errors import LaunchError
from grader.harness.mistake import Mistake
from grader.harness.outcome import Outcome

Aspect = Literal["equivalence", "property", "robustness"]


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One graded test and how it ended."""

    test: str
    """pytest's node id."""

    chapter: str
    exercise: str
    aspect: Aspect
    claim: str
    """First line of the test's docstring: what the student reads."""

    hidden: bool
    outcome: Outcome
    explanation: str
    """Empty when the test passed. Of a hidden test for staff only: it may hold inputs, values and texts of the test."""

    mistake: Mistake | None = None
    """What kind of mistake it is, for everybody; None when the test passed, or when nobody knows how it ended."""

    seconds: float
    world_sizes: tuple[int, ...]
    nodes: tuple[str, ...] = ()
    """The machines on which its ranks ran, if those were others than the judge's."""

    placements: tuple[str, ...] = ()
    """Where ranks of launches that may use GPUs ran, and why."""


class CollectedTest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A test that must pass."""

    test: str
    chapter: str
    exercise: str
    aspect: Aspect
    claim: str
    hidden: bool


class Collected(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="event", tag="collected"
):
    """First line of a report: every test that is going to run."""

    tests: tuple[CollectedTest, ...]


class Finished(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="event", tag="finished"
):
    """One test has ended."""

    test: str
    outcome: Outcome
    explanation: str
    mistake: Mistake | None
    seconds: float
    world_sizes: tuple[int, ...]
    nodes: tuple[str, ...] = ()
    placements: tuple[str, ...] = ()


class ReportEnd(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="event", tag="ended"):
    """Last line of a report: the judge came to its end."""


_EVENT = msgspec.json.Decoder(Collected | Finished | ReportEnd)


def read_report(path: Path, *, trouble: str) -> list[Record]:
    """Return one record for each collected test, in the order of collection.

    `trouble` says how the judge ended; it explains a test that was collected and never finished.
    Raises: LaunchError if the judge collected nothing, or wrote what it never writes.
    """
    events = list(_events(path))
    if not events or not isinstance(events[0], Collected):
        raise LaunchError(f"The judge did not get as far as collecting its tests. {trouble}".rstrip())
    finished = {event.test: event for event in events if isinstance(event, Finished)}
    expected = {test.test: test for test in events[0].tests}
    for test in finished:
        if test not in expected:
            raise LaunchError(
                f"{path}: the judge finished '{test}', which it had not collected. The report cannot be trusted."
            )
    return [_record(test, finished.get(test.test), trouble) for test in expected.values()]


def _events(path: Path) -> Iterator[Collected | Finished | ReportEnd]:
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    for number, line in enumerate(lines, 1):
        if not line.endswith(b"\n"):
            return  # the judge died in the middle of this line
        try:
            yield _EVENT.decode(line)
        except msgspec.MsgspecError as error:
            raise LaunchError(f"{path}:{number}: not a line of a judge's report: {error}.") from None


def _record(test: CollectedTest, finished: Finished | None, trouble: str) -> Record:
    end = finished or Finished(
        test=test.test,
        outcome=Outcome.NOT_GRADABLE,
        explanation=f"The judge ended before this test did. {trouble}".rstrip(),
        mistake=None,
        seconds=0.0,
        world_sizes=(),
    )
    return Record(
        test=test.test,
        chapter=test.chapter,
        exercise=test.exercise,
        aspect=test.aspect,
        claim=test.claim,
        hidden=test.hidden,
        outcome=end.outcome,
        explanation=end.explanation,
        mistake=end.mistake,
        seconds=end.seconds,
        world_sizes=end.world_sizes,
        nodes=end.nodes,
        placements=end.placements,
    )
