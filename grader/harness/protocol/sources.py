"""The files of one launch, as bytes: what the judge read is what every rank runs, wherever the rank is.

Nothing of a submission or of the course is mounted where ranks run; these files are all they get of either.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

SUBMISSION, COURSE = "submission", "course"


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """By plain file name: the student's files, and the rank programs of the course that the launch needs."""

    submission: Mapping[str, bytes]
    course: Mapping[str, bytes]

    def lay_out(self, folder: Path) -> None:
        """Write the files to `folder`/submission and `folder`/course."""
        for name, files in ((SUBMISSION, self.submission), (COURSE, self.course)):
            (folder / name).mkdir()
            for file, content in files.items():
                (folder / name / file).write_bytes(content)


def roots(folder: str) -> tuple[str, str]:
    """Return where the files lie when they are laid out in `folder`: the student's first."""
    return f"{folder}/{SUBMISSION}", f"{folder}/{COURSE}"


def pack_sources(sources: Sources) -> bytes:
    """Return `sources` as bytes."""
    return msgspec.msgpack.encode(sources)


def unpack_sources(data: bytes) -> Sources:
    """Return what `pack_sources` was given."""
    return msgspec.msgpack.decode(data, type=Sources)
