"""A control group for one sandbox, if the judge may make one: it bounds memory, tasks and CPU shares of all processes together.

Limits on single processes multiply with the number of processes; these do not. Root can nearly always make a group, an
ordinary user only where the system has delegated a part of the hierarchy.
https://docs.kernel.org/admin-guide/cgroup-v2.html, cgroup-v1/memory.html and scheduler/sched-design-CFS.html
"""

import contextlib
import os
import secrets
import time
from pathlib import Path
from typing import NamedTuple

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


def make_groups() -> tuple[Path, ...]:
    """Make the groups that a sandbox will join: one, or in version 1 one for each controller; none if not permitted."""
    made = (_make(parent) for parent in _own_groups())
    return tuple(group for group in made if group is not None)


def remove_groups(groups: tuple[Path, ...]) -> None:
    """Remove each group as soon as its last process has ended; a group that never empties stays."""
    end = time.monotonic() + SECONDS_TO_REMOVE
    for group in groups:
        while group.exists():
            with contextlib.suppress(OSError):
                group.rmdir()
            if time.monotonic() >= end:
                return
            time.sleep(0.005)


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


def _make(parent: Path) -> Path | None:
    _remove_stale(parent)
    group = parent / f"{_prefix()}{os.getpid()}-{secrets.token_hex(4)}"
    try:
        group.mkdir()
    except OSError:
        return None
    if not [name for name in LIMITS if _limit(group, name)]:
        group.rmdir()
        return None
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


def _prefix() -> str:
    """Return the beginning of the names of all groups that were made in this pid namespace.

    Containers, and jobs of the development cluster, see the same groups but other processes: a process id in the name
    of a group means something only in the namespace where the group was made.
    """
    return f"{PREFIX}{Path('/proc/self/ns/pid').stat().st_ino}-"


def _remove_stale(parent: Path) -> None:
    """Remove the groups that killed judges have left."""
    for group in parent.glob(f"{_prefix()}*"):
        owner = group.name.removeprefix(_prefix()).partition("-")[0]
        if not Path("/proc", owner).exists():
            with contextlib.suppress(OSError):
                group.rmdir()
