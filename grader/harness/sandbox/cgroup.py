"""A control group for one sandbox, if the judge may make one: it bounds memory and tasks of all processes together.

Limits on single processes multiply with the number of processes; these do not. Root can nearly always make a group, an
ordinary user only where the system has delegated a part of the hierarchy.
https://docs.kernel.org/admin-guide/cgroup-v2.html and cgroup-v1/memory.html
"""

import contextlib
import os
import secrets
import time
from pathlib import Path

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
    """Return the groups of this process that can limit memory or tasks."""
    found = set()
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers or controllers in LIMITS:
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
    *files, limit = LIMITS[controller]
    for file in (group / name for name in dict.fromkeys(files) if (group / name).exists()):
        with contextlib.suppress(OSError):
            file.write_text(str(limit))
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
