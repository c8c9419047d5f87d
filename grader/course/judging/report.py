"""What the judge reports about each graded test: the JSON lines of `pytest --report FILE`, written and read strictly.

A test counts as passed only if the judge wrote so. A test that was collected and never finished is `not_gradable`: the
judge died, and that earns neither zero nor full points.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Literal

import msgspec

from course_env.errors import LaunchError
from grader.harness.mistake import Mistake
from grader.harness.outcome import Outcome

Aspect = Literal["equivalence", "property", "robustness"]


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One graded test: what it grades and, once it has finished, how it ended."""

    test: str
    """pytest's node id."""

    chapter: str
    exercise: str
    aspect: Aspect
    claim: str
    """First line of the test's docstring: what the student reads."""

    hidden: bool
    """Whether the test is in `solutions/`, which only staff have."""

    finished: bool = False
    """Whether it is known how the test ended. Without that there is no evidence: the test is not gradable."""

    outcome: Outcome = Outcome.NOT_GRADABLE
    explanation: str = ""
    """Empty if the test passed. If the test is hidden, for staff only: it may hold the test's inputs, values and texts."""

    mistake: Mistake | None = None
    """The kind of mistake, for everybody; None if the test passed, or if it is not known how it ended."""

    rests_on_ranks: bool = False
    """Whether the test looked at something that its ranks say of themselves, or ended with a launch that failed."""

    seconds: float = 0.0
    world_sizes: tuple[int, ...] = ()
    """Of its launches: each size once, in ascending order."""

    nodes: tuple[str, ...] = ()
    """The machines on which its ranks ran, if those were others than the judge's."""

    placements: tuple[str, ...] = ()
    """Where ranks of launches that may use GPUs ran, and why."""

    def __post_init__(self) -> None:
        """Refuse a pass that the judge has not seen."""
        if self.outcome is Outcome.PASSED and not self.finished:
            raise ValueError(f"the test '{self.test}' has passed and never finished")


KNOWN_BEFORE = tuple(field.name for field in msgspec.structs.fields(Record) if field.required)
"""The fields of a record that say which test it is of; all others have a value only after the test has finished."""


class Collected(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="event", tag="collected"
):
    """First line of a report: every test that is going to run."""

    tests: tuple[Record, ...]


class Began(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="event", tag="began"):
    """The judge turns to a test. Until it has finished, whatever the judge computes is for this test."""

    test: str


class Finished(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="event", tag="finished"
):
    """One test has ended."""

    record: Record


class ReportEnd(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="event", tag="ended"):
    """Last line of a report: the judge came to its end."""


Event = Collected | Began | Finished | ReportEnd

_EVENT = msgspec.json.Decoder(Event)


class ReportWriter:
    """Appends events to a file, each flushed as it happens."""

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = path.open("wb")

    def write(self, event: Event) -> None:
        """Append one event."""
        self._file.write(msgspec.json.encode(event) + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_report(path: Path, *, trouble: str) -> list[Record]:
    """Return one record for each collected test, in the order of collection.

    `trouble` says how the judge ended; it explains a test that was collected and never finished.
    Raises: LaunchError if the judge collected nothing, wrote what it never writes, or contradicts itself.
    """
    events = list(_events(path))
    if not events or not isinstance(events[0], Collected):
        raise LaunchError(f"The judge did not get as far as collecting its tests. {trouble}".rstrip())
    collected = {record.test: record for record in events[0].tests}
    ended = {event.record.test: event.record for event in events if isinstance(event, Finished)}
    for contradiction in _contradictions(collected, ended):
        raise LaunchError(f"{path}: {contradiction} The report cannot be trusted.")
    explanation = f"The judge ended before this test did. {trouble}".rstrip()
    return [
        ended.get(test) or msgspec.structs.replace(record, explanation=explanation)
        for test, record in collected.items()
    ]


def _contradictions(collected: Mapping[str, Record], ended: Mapping[str, Record]) -> Iterator[str]:
    """Yield each way in which a report contradicts itself: a test has one identity, and ends only after it was collected."""
    for test, record in collected.items():
        if record != _before_its_end(record):
            yield f"the judge says that '{test}' ended before it ran."
    for test, record in ended.items():
        if test not in collected:
            yield f"the judge finished '{test}', which it had not collected."
        elif not record.finished or _before_its_end(record) != collected[test]:
            yield f"'{test}' did not end as the test that was collected."


def _before_its_end(record: Record) -> Record:
    """Return the record as it was collected."""
    return Record(**{name: getattr(record, name) for name in KNOWN_BEFORE})


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeProgress:
    """How far a judge is."""

    finished: frozenset[str] = frozenset()
    """Tests that have ended; one whose clean-up fails ends twice."""

    every: int = 0
    """Tests that were collected."""

    running: str | None = None
    """The test that has begun and not finished."""

    @property
    def done(self) -> int:
        """How many tests have ended."""
        return len(self.finished)


class ReportFollower:
    """Reads a report while it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_bytes = 0
        self._progress = JudgeProgress()

    def progress(self) -> JudgeProgress:
        """Return how far the judge is by now. Lines that cannot be read count for nothing: `read_report` refuses them."""
        with contextlib.suppress(FileNotFoundError), self._path.open("rb") as file:
            file.seek(self._read_bytes)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._read_bytes += len(line)
                with contextlib.suppress(msgspec.MsgspecError):
                    self._progress = _after(_EVENT.decode(line), self._progress)
        return self._progress


def _after(event: Event, before: JudgeProgress) -> JudgeProgress:
    match event:
        case Collected():
            return JudgeProgress(every=len(event.tests))
        case Began():
            return replace(before, running=event.test)
        case Finished():
            return replace(before, finished=before.finished | {event.record.test}, running=None)
    return before


def _events(path: Path) -> Iterator[Event]:
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    for number, line in enumerate(lines, 1):
        if not line.endswith(b"\n"):
            return  # the judge died in the middle of this line
        try:
            yield _EVENT.decode(line)
        except msgspec.MsgspecError as error:
            raise LaunchError(f"{path}:{number}: not a line of a judge's report: {error}.") from None
