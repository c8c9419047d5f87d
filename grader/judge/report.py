"""The judge's report: one JSON object a line, written by trusted code only.

A line is complete or it is not there, and what is not there earned nothing.
"""

from pathlib import Path
from typing import IO

import msgspec

from grader.harness.outcome import Outcome


class CollectedTest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A test that must pass."""

    test: str
    chapter: str
    exercise: str
    aspect: str
    claim: str
    hidden: bool


class Collected(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="collected"):
    """First line: every test that is going to run."""

    tests: tuple[CollectedTest, ...]


class Finished(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="finished"):
    """One test has ended."""

    test: str
    outcome: Outcome
    explanation: str
    seconds: float
    world_sizes: tuple[int, ...]


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="ended"):
    """Last line: the judge came to its end."""


class ReportWriter:
    """Appends events to a file, each flushed as it happens."""

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = path.open("wb")

    def write(self, event: Collected | Finished | Ended) -> None:
        """Append one event."""
        self._file.write(msgspec.json.encode(event) + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
