"""A control group for one sandbox, if the judge may make one: it bounds memory and tasks of all processes together.

Limits on single processes multiply with the number of processes; these do not. Root can nearly always make a group, an
ordinary user only where the system has delegated a part of the hierarchy.
https://docs.kernel.org/admin-guide/cgroup-v2.html and cgroup-v1/memory.html
"""

import contextlib
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from grader.harness.protocol.held_folder import hold, new_and_held

ROOT = Path("/sys/fs/cgroup")
PREFIX = "course-sandbox-"
MEMORY_BYTES = 8 << 30
TASKS = 4096
# For each controller: the file of its limit in version 1, the same in version 2, and the limit.
LIMITS = {
    "memory": ("memory.limit_in_bytes", "memory.max", MEMORY_BYTES),
    "pids": ("pids.max", "pids.max", TASKS),
}
SECONDS_TO_REMOVE = 2.0


class Group(NamedTuple):
    """A group that this process has made."""

    path: Path
    lock: int
    """The descriptor that says to others that the group is in use."""


def make_groups() -> tuple[Group, ...]:
    """Make the groups that a sandbox will join: one, or in version 1 one for each controller; none if not permitted.

    Those that killed judges have left are removed first.
    """
    remove_left_groups(patience_s=0.0)
    made = (_make(parent) for parent in _own_groups())
    return tuple(group for group in made if group is not None)


def remove_groups(groups: Sequence[Group]) -> None:
    """Remove each group as soon as its last process has ended; a group that never empties stays."""
    end = time.monotonic() + SECONDS_TO_REMOVE
    for path, lock in groups:
        _remove(path, end)
        os.close(lock)


def remove_left_groups(patience_s: float = SECONDS_TO_REMOVE) -> None:
    """Remove the groups that dead processes have left, wherever they are, once the processes in them have ended."""
    end = time.monotonic() + patience_s
    for group in list(_all_groups()):
        if (lock := hold(group)) is not None:
            _remove(group, end)
            os.close(lock)


def _remove(group: Path, end: float) -> None:
    while group.exists():
        with contextlib.suppress(OSError):
            group.rmdir()
        if time.monotonic() >= end:
            return
        time.sleep(0.005)


def _all_groups() -> Iterator[Path]:
    """Yield every group with our prefix: a judge that was killed may have been in another group than this process."""
    for folder, names, _ in os.walk(ROOT):
        yield from (Path(folder, name) for name in names if name.startswith(PREFIX))


def _own_groups() -> set[Path]:
    """Return the groups of this process that can limit memory or tasks."""
    found = set()
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers or controllers in LIMITS:
            found.add(ROOT / controllers / path.lstrip("/"))
    return {group for group in found if (group / "cgroup.procs").exists()}


def _make(parent: Path) -> Group | None:
    try:
        group = Group(*new_and_held(lambda: _new(parent)))
    except OSError:
        return None
    if not [name for name in LIMITS if _limit(group.path, name)]:
        group.path.rmdir()
        os.close(group.lock)
        return None
    return group


def _new(parent: Path) -> Path:
    group = parent / f"{PREFIX}{secrets.token_hex(8)}"
    group.mkdir()
    return group


def _limit(group: Path, controller: str) -> bool:
    """Set the limit of one controller; return whether the group has that controller and took the limit."""
    *files, limit = LIMITS[controller]
    for file in (group / name for name in dict.fromkeys(files) if (group / name).exists()):
        with contextlib.suppress(OSError):
            file.write_text(str(limit))
            return True
    return False
