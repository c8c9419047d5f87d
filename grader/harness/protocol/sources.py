"""The files of one launch, as bytes: every rank, wherever it runs, runs what the judge has read.

Nothing of a submission or of the course is mounted where ranks run: these files are all that they get of either.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

SUBMISSION, COURSE = "submission", "course"


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """The content of each file, by its plain name."""

    submission: Mapping[str, bytes]
    """The student's files."""

    course: Mapping[str, bytes]
    """The rank programs of the course that the launch needs."""

    def lay_out(self, folder: Path) -> None:
        """Write the files to `folder`/submission and `folder`/course."""
        for name, files in ((SUBMISSION, self.submission), (COURSE, self.course)):
            (folder / name).mkdir()
            for file, content in files.items():
                (folder / name / file).write_bytes(content)


def roots(folder: str) -> tuple[str, str]:
    """Return the folders of the files after `lay_out(folder)`: the student's, then the course's."""
    return f"{folder}/{SUBMISSION}", f"{folder}/{COURSE}"


def pack_sources(sources: Sources) -> bytes:
    """Return `sources` as bytes."""
    return msgspec.msgpack.encode(sources)


def unpack_sources(data: bytes) -> Sources:
    """Return what `pack_sources` was given."""
    return msgspec.msgpack.decode(data, type=Sources)
