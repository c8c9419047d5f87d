"""A control group for one sandbox, if the judge may make one: it bounds memory, tasks and CPU shares of all processes together.

Limits on single processes multiply with the number of processes; these do not. Root can nearly always make a group, an
ordinary user only where the system has delegated a part of the hierarchy.
https://docs.kernel.org/admin-guide/cgroup-v2.html, cgroup-v1/memory.html and scheduler/sched-design-CFS.html
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
CORES = len(os.sched_getaffinity(0))
SECONDS_TO_REMOVE = 2.0


class Limit(NamedTuple):
    """A limit of one controller: a file and what it holds, in both versions of control groups."""

    file_1: str
    value_1: int
    file_2: str
    value_2: int


# Shares are of CPU time for which others wait, too; what nobody else wants, a sandbox gets in any case. On each core all
# its threads together count as one process (1024 or 100): as much as a rank that has the core to itself, and no more
# however many threads there are. The kernel takes at most 262144 and 10000.
LIMITS = {
    "memory": Limit("memory.limit_in_bytes", MEMORY_BYTES, "memory.max", MEMORY_BYTES),
    "pids": Limit("pids.max", TASKS, "pids.max", TASKS),
    "cpu": Limit("cpu.shares", min(1024 * CORES, 262_144), "cpu.weight", min(100 * CORES, 10_000)),
}


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
    """Return the groups of this process that can limit something."""
    return _groups_of(Path("/proc/self/cgroup").read_text())


def _groups_of(membership: str) -> set[Path]:
    """Return the groups that can limit something; `membership`: the kernel's lines about a process."""
    found = set()
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers or not LIMITS.keys().isdisjoint(controllers.split(",")):
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
    limit = LIMITS[controller]
    for file, value in ((group / limit.file_1, limit.value_1), (group / limit.file_2, limit.value_2)):
        if file.exists():
            with contextlib.suppress(OSError):
                file.write_text(str(value))
                return True
    return False
