"""The few Linux calls that Python does not offer, by ctypes."""

import contextlib
import ctypes
import os
import signal
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
MADV_COLLAPSE = 25
HUGE_PAGE = 2 << 20

_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl({option}, {value}): {os.strerror(code)}")


def die_with_parent(parent: int) -> None:
    """Have the kernel end this process when `parent`, its parent, ends; end it now if that has happened already."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Make this process the parent of every descendant whose own parent ends, so that none escapes."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


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
