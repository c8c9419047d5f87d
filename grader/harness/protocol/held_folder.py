"""Folders that are in use for as long as the process lives that made them. Whoever comes next removes those of the dead.

A process that is killed removes nothing. But the kernel drops its locks, and a lock, unlike a process id, means the same in
every pid namespace and is never given to another process.
"""

import contextlib
import fcntl
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from grader.harness.protocol.files import remove_tree

NAME = re.compile(r"course-[a-z]+-[a-z0-9_]{8}\.held")


@contextmanager
def held_folder(kind: str, parent: Path | None = None) -> Iterator[Path]:
    """Give a new private folder in `parent` (None: where temporary files go); it is removed with the block.

    What dead processes have left there is removed first.
    """
    place = Path(tempfile.gettempdir()) if parent is None else parent
    remove_left_folders(place)
    folder, lock = new_and_held(lambda: Path(tempfile.mkdtemp(prefix=f"course-{kind}-", suffix=".held", dir=place)))
    try:
        yield folder
    finally:
        remove_tree(folder)
        os.close(lock)


def new_and_held(make: Callable[[], Path]) -> tuple[Path, int]:
    """Return a folder that `make` has made, and the descriptor that holds it until it is closed."""
    while True:
        folder = make()
        if (lock := hold(folder)) is not None:
            return folder, lock
        with contextlib.suppress(OSError):  # it was taken for one that was left, before it could be held
            folder.rmdir()


def hold(folder: Path) -> int | None:
    """Return a descriptor that holds the folder; None if somebody else holds it, or it is gone."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_there = os.path.samestat(os.fstat(descriptor), folder.stat(follow_symlinks=False))
    except OSError:
        is_there = False
    if is_there:
        return descriptor
    os.close(descriptor)
    return None


def remove_left_folders(parent: Path) -> None:
    """Remove the folders in `parent` that this user's dead processes have left."""
    with contextlib.suppress(OSError):
        with os.scandir(parent) as entries:
            left = [Path(entry.path) for entry in entries if NAME.fullmatch(entry.name) and _is_own(entry)]
        for folder in left:
            if (lock := hold(folder)) is not None:
                remove_tree(folder)
                os.close(lock)


def _is_own(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_uid == os.geteuid()
