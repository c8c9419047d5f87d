"""Writing the judge's report, the JSON lines that `grader.course.judging.record` reads.

Written by trusted code only. A line is complete or it is not there, and what is not there earned nothing.
"""

from pathlib import Path
from typing import IO

import msgspec

from grader.course.judging.record import Collected, Finished, ReportEnd


class ReportWriter:
    """Appends events to a file, each flushed as it happens."""

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = path.open("wb")

    def write(self, event: Collected | Finished | ReportEnd) -> None:
        """Append one event."""
        self._file.write(msgspec.json.encode(event) + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
