"""A control group for one sandbox, where the judge may make one: bounds on the memory and the tasks of all in it together.

Limits on single processes multiply with their number; this one does not. Root may nearly always make one, an ordinary user
where the system has delegated a part of the hierarchy.
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
# By controller: the file of its limit in version 1 and 2, and the limit.
LIMITS = {
    "memory": ("memory.limit_in_bytes", "memory.max", MEMORY_BYTES),
    "pids": ("pids.max", "pids.max", TASKS),
}
SECONDS_TO_REMOVE = 2.0


def make_groups() -> tuple[Path, ...]:
    """Return the groups that a sandbox is to join: one, or with cgroups of version 1 one for each controller, or none."""
    made = (_make(parent) for parent in _own_groups())
    return tuple(group for group in made if group is not None)


def remove_groups(groups: tuple[Path, ...]) -> None:
    """Remove groups as soon as the last process has left them; one that is never left stays."""
    end = time.monotonic() + SECONDS_TO_REMOVE
    for group in groups:
        while group.exists():
            with contextlib.suppress(OSError):
                group.rmdir()
            if time.monotonic() >= end:
                return
            time.sleep(0.005)


def _own_groups() -> set[Path]:
    """Return the groups that this process is in, as far as they can limit anything."""
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
    """Set a limit if the group has that controller; return whether it has."""
    *files, limit = LIMITS[controller]
    for file in (group / name for name in dict.fromkeys(files) if (group / name).exists()):
        with contextlib.suppress(OSError):
            file.write_text(str(limit))
            return True
    return False


def _prefix() -> str:
    """Return how the names begin of groups made where process ids mean what they mean here.

    Containers, and jobs of the development cluster, see the same groups and other processes.
    """
    return f"{PREFIX}{Path('/proc/self/ns/pid').stat().st_ino}-"


def _remove_stale(parent: Path) -> None:
    """Remove what a judge that was killed has left."""
    for group in parent.glob(f"{_prefix()}*"):
        owner = group.name.removeprefix(_prefix()).partition("-")[0]
        if not Path("/proc", owner).exists():
            with contextlib.suppress(OSError):
                group.rmdir()
