"""The timelines of launches, which a judge writes beside its report if it is asked for them: one JSON line for each launch."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from course_env.errors import LaunchError
from grader.harness.comm.picture.spans import Timeline


class DrawnLaunch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One launch of a test."""

    test: str
    """pytest's node id."""

    number: int
    """How many launches of the test there were up to this one."""

    program: str
    """The function that its ranks ran."""

    timeline: Timeline


_LAUNCH = msgspec.json.Decoder(DrawnLaunch)


def append_launch(path: Path, launch: DrawnLaunch) -> None:
    """Append one launch to a file. A judge that goes on for one that was ended writes to the same file."""
    with path.open("ab") as file:
        file.write(msgspec.json.encode(launch) + b"\n")


def read_launches(path: Path) -> tuple[DrawnLaunch, ...]:
    """Return the launches in a file, in their order; a line that a judge could not finish is left out.

    Raises: LaunchError for a line that is not a launch.
    """
    return tuple(_launches(path)) if path.exists() else ()


def _launches(path: Path) -> Iterator[DrawnLaunch]:
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
        if not line.endswith(b"\n"):
            continue
        try:
            yield _LAUNCH.decode(line)
        except msgspec.MsgspecError as error:
            raise LaunchError(f"{path}:{number}: not a launch that a judge wrote: {error}.") from None
