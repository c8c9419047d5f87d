"""Limits of this machine that are too low for a launch: of the process (`ulimit`), and of its control groups.

Under such a limit a right submission would crash. So it is found out before any student code runs, and told by its name.
"""

import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from grader.harness.inside.confine import ADDRESS_SPACE_BYTES, CPU_SECONDS_PER_SECOND, FILE_BYTES, OPEN_FILES

LARGEST_WORLD_SIZE = 8  # the most ranks that a test of the course starts
LONGEST_LAUNCH_S = 60
LEAST_THREADS_PER_RANK = 32
LEAST_TASKS = LEAST_THREADS_PER_RANK * LARGEST_WORLD_SIZE + 64  # and judge, zygote, supervisor, children
LEAST_MEMORY_BYTES = 2 << 30
CONTROL_GROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessLimit:
    """A hard limit that a process inherits."""

    name: str
    """Its name in the resource module, such as RLIMIT_NPROC."""

    option: str
    """The option of bash's `ulimit` that shows and sets it."""

    meaning: str
    needed: int
    """The least value with which every launch of the course works."""

    unit: int = 1
    """What `ulimit` counts in, in the kernel's unit."""


PROCESS_LIMITS = (
    ProcessLimit(name="RLIMIT_NPROC", option="u", meaning="processes and threads of the user", needed=LEAST_TASKS),
    ProcessLimit(name="RLIMIT_NOFILE", option="n", meaning="open files", needed=OPEN_FILES),
    ProcessLimit(name="RLIMIT_AS", option="v", meaning="KiB of address space", needed=ADDRESS_SPACE_BYTES, unit=1024),
    ProcessLimit(name="RLIMIT_DATA", option="d", meaning="KiB of data", needed=ADDRESS_SPACE_BYTES, unit=1024),
    ProcessLimit(name="RLIMIT_FSIZE", option="f", meaning="KiB in a file", needed=FILE_BYTES, unit=1024),
    ProcessLimit(
        name="RLIMIT_CPU",
        option="t",
        meaning="seconds of CPU time",
        needed=CPU_SECONDS_PER_SECOND * LONGEST_LAUNCH_S + 1,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LowLimit:
    """A limit that is too low for a launch."""

    what: str
    """Its name, its value, and the value that is needed."""

    todo: str
    """What to type, or whom to ask."""

    def __str__(self) -> str:
        return f"{self.what} {self.todo}"


def low_limits() -> list[LowLimit]:
    """Return every limit of this process that is too low for the largest launch of the course."""
    return [*_process_limits(), *_group_limits()]


def lacking() -> str | None:
    """Return why nothing can be graded under this process's limits, in sentences; None if they are high enough."""
    low = low_limits()
    return f"Not gradable here: {' '.join(map(str, low))}" if low else None


def _process_limits() -> Iterator[LowLimit]:
    for limit in PROCESS_LIMITS:
        soft, hard = resource.getrlimit(getattr(resource, limit.name))
        if hard != resource.RLIM_INFINITY and hard < limit.needed:
            kind, flag, value = "hard", "H", hard
            todo = (
                f"Ask an administrator to raise it (/etc/security/limits.conf, `Limit...=` of a systemd unit, or "
                f"`docker run --ulimit`), or start from a shell in which nobody has typed `ulimit -{limit.option}`."
            )
        elif soft != resource.RLIM_INFINITY and soft < limit.needed:
            kind, flag, value = "soft", "S", soft
            todo = f"Type: ulimit -S{limit.option} {-(-limit.needed // limit.unit)}"
        else:
            continue
        yield LowLimit(
            what=(
                f"The {kind} limit on {limit.meaning} ({limit.name}, `ulimit -{flag}{limit.option}`) is "
                f"{value // limit.unit}; a launch needs {-(-limit.needed // limit.unit)}."
            ),
            todo=todo,
        )


def _group_limits() -> Iterator[LowLimit]:
    todo = "Give the container, the job or the service more (docker run --pids-limit, --memory; systemd: TasksMax, MemoryMax)."
    for group in _own_groups():
        tasks, used = _number(group / "pids.max"), _number(group / "pids.current") or 0
        if tasks is not None and tasks - used < LEAST_TASKS:
            text = f"The control group's limit on tasks ({group}/pids.max) is {tasks}, of which {used} are in use"
            yield LowLimit(what=f"{text}; a launch needs {LEAST_TASKS}.", todo=todo)
        for name in ("memory.max", "memory.limit_in_bytes"):
            memory = _number(group / name)
            if memory is not None and memory < LEAST_MEMORY_BYTES:
                text = f"The control group's limit on memory ({group}/{name}) is {memory} bytes"
                yield LowLimit(what=f"{text}; a launch needs {LEAST_MEMORY_BYTES}.", todo=todo)


def _own_groups() -> list[Path]:
    """Return the control groups of this process that can limit tasks or memory, and all that they are in."""
    found = set[Path]()
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers or {"pids", "memory"} & set(controllers.split(",")):
            top = CONTROL_GROUPS / controllers
            group = top / path.lstrip("/")
            found |= {group, *(parent for parent in group.parents if parent.is_relative_to(top))}
    return sorted(group for group in found if group.is_dir())


def _number(file: Path) -> int | None:
    """Return the number in the file; None if there is no file, or no limit ("max")."""
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None
