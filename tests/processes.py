"""Which processes run, for tests that end some of them."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ZOMBIE = "\nState:\tZ"


def descendants(pid: int) -> set[int]:
    """Return the process ids of all descendants of `pid`, whichever thread started them."""
    children = {int(child) for task in _tasks(pid) for child in _words(task / "children")}
    return children | {grandchild for child in children for grandchild in descendants(child)}


def _tasks(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except (FileNotFoundError, ProcessLookupError):  # the process has ended
        return []


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except (FileNotFoundError, ProcessLookupError):  # the thread has ended
        return []


def running(pids: set[int]) -> set[int]:
    """Return those of `pids` that still run."""
    return {pid for pid in pids if Path(f"/proc/{pid}").exists() and ZOMBIE not in _status(pid)}


def _status(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ZOMBIE


def eventually(condition: Callable[[], Any], seconds: float = 5.0) -> bool:
    """Return whether `condition` becomes true within `seconds`."""
    end = time.monotonic() + seconds
    while not (is_true := bool(condition())) and time.monotonic() < end:
        time.sleep(0.01)
    return is_true
