"""The few Linux calls that Python does not offer, through ctypes."""

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
PR_SET_NO_NEW_PRIVS = 38
MADV_COLLAPSE = 25
HUGE_PAGE = 2 << 20

# Numbers of the calls that are made without glibc: it has none for Landlock, and its clone() cannot fork.
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


def set_dumpable(dumpable: bool) -> None:  # noqa: FBT001 - the only argument of a setter
    """Allow other processes of the same user to read this one's memory and descriptors, or forbid it."""
    prctl(PR_SET_DUMPABLE, int(dumpable))


def die_with_parent(parent: int) -> None:
    """Have the kernel end this process when its parent, `parent`, ends; end it now if the parent has already ended."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Make this process the new parent of every descendant whose parent ends, so that none escapes."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)


def use_huge_pages() -> int:
    """Move this process's private memory to huge pages; return how many it got.

    A fork copies one page-table entry for each page, and huge pages are 512 times fewer. A kernel before Linux 6.1
    cannot do this; then nothing changes.
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
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208 - asserted before each fork; Path costs more


def children() -> list[int]:
    """Return the process ids of this process's children, including dead ones that nobody has waited for."""
    return [int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()]


def reap_dead_children() -> bool:
    """Collect the children that have ended; return whether any child still runs."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return True
    return False


def settle(grace_s: float) -> int:
    """Give children `grace_s` seconds to end by themselves; return the number of those that still run."""
    end = time.monotonic() + grace_s
    while reap_dead_children():
        if time.monotonic() >= end:
            return len(children())
        time.sleep(0.002)
    return 0


def end_children(limit_s: float = 5.0) -> None:
    """Kill every child, and every orphan that this process adopts, until none is left or `limit_s` has passed.

    A program that forks faster than this loop kills is sure to end only with its pid namespace.
    """
    end = time.monotonic() + limit_s
    while reap_dead_children() and time.monotonic() < end:
        for pid in children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.001)
