"""The few Linux calls that Python does not offer, by ctypes."""

import contextlib
import ctypes
import os
import signal
import time
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
MADV_COLLAPSE = 25
HUGE_PAGE = 2 << 20

# Of calls that glibc does not wrap; all others are called by their wrapper.
CLONE = {"x86_64": 56, "aarch64": 220}
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446  # the same on every architecture

_libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: Any) -> int:
    """Call a function of the C library; return what it returns.

    Raises: OSError, with the name of the function, if it fails.
    """
    return _checked(name, getattr(_libc, name)(*arguments))


def syscall(name: str, number: int, *arguments: int | bytes | None) -> int:
    """Make a system call by its number; return what it returns.

    Raises: OSError, with `name`, if it fails.
    """
    widened = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return _checked(name, _libc.syscall(ctypes.c_long(number), *widened))


def _checked(name: str, returned: int) -> int:
    if returned < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return returned


def prctl(option: int, *values: int) -> None:
    """Change a setting of this process.

    Raises: OSError if the kernel refuses.
    """
    padded = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    call("prctl", option, *padded)


def set_dumpable(dumpable: bool) -> None:  # noqa: FBT001 - the one argument of a setter
    """Let processes of the same user read this one's memory and descriptors, or not."""
    prctl(PR_SET_DUMPABLE, int(dumpable))


def die_with_parent(parent: int) -> None:
    """Have the kernel end this process when `parent`, its parent, ends; end it now if that has happened already."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Make this process the parent of every descendant whose own parent ends, so that none escapes."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)


def use_huge_pages() -> int:
    """Move this process's private memory to huge pages; return how many it got.

    A fork copies one page-table entry for each page: 512 times fewer for memory on huge pages. Where the kernel cannot
    (before Linux 6.1), nothing changes.
    """
    collapsed = 0
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, permissions, _, _, _, *name = line.split(maxsplit=5)
        if permissions == "rw-p" and not (name and name[0].startswith("/")):
            start, end = (int(address, 16) for address in span.split("-"))
            for address in range(-(-start // HUGE_PAGE) * HUGE_PAGE, end - HUGE_PAGE + 1, HUGE_PAGE):
                result = _libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(HUGE_PAGE), MADV_COLLAPSE)
                collapsed += result == 0
    return collapsed


def num_tasks() -> int:
    """Return the number of threads of this process."""
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208 - this is asserted before each fork, Path costs more


def children() -> list[int]:
    """Return the process ids of this process's children, the dead ones that were not waited for included."""
    return [int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()]


def reap_dead_children() -> bool:
    """Collect the children that have ended; return whether any child still runs."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return True
    return False


def settle(grace_s: float) -> int:
    """Return the number of children that still run after they had `grace_s` seconds to end by themselves."""
    end = time.monotonic() + grace_s
    while reap_dead_children():
        if time.monotonic() >= end:
            return len(children())
        time.sleep(0.002)
    return 0


def end_children(limit_s: float = 5.0) -> None:
    """Kill every child, and every orphan that falls to this process, until none is left or `limit_s` has passed.

    Without a pid namespace a program that forks faster than this loop kills cannot be ended for certain.
    """
    end = time.monotonic() + limit_s
    while reap_dead_children() and time.monotonic() < end:
        for pid in children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.001)
