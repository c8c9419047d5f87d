"""What was handed in, as a tree of folders, files, and entries that are never taken. Each is read only when needed.

This module makes the tree of a folder on disk; `archive` makes that of a zip or tar file.
"""

import os
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

MAX_FILE_BYTES = 1 << 20
MAX_ENTRIES = 10_000
MAX_SHOWN_NAME = 200

Parts = tuple[str, ...]
"""The names that lead from the top of a tree to one of its entries."""


class RefusedError(Exception):
    """Something cannot be taken: `fault` says what is wrong with it, and `remedy` what the student should do."""

    def __init__(self, fault: str, remedy: str) -> None:
        super().__init__(f"{fault}. {remedy}")
        self.fault = fault
        self.remedy = remedy


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class File:
    """A regular file."""

    read: Callable[[int], bytes]
    """Return the whole content, if that is at most so many bytes. Raises: RefusedError."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Folder:
    """A folder."""

    name: str
    entries: Callable[[], "Mapping[str, Entry]"]
    """Return what lies in it, by name. Raises: RefusedError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """What is never taken: a link, a device, a name that two entries have."""

    fault: str
    """What is wrong with it, as the end of a sentence that begins with its name."""

    remedy: str
    """What the student should do, as a sentence."""


Entry = File | Folder | Refused

LINK = Refused(fault="is a link", remedy="Hand in what it points to.")
NOT_REGULAR = Refused(fault="is not a regular file", remedy="Hand in a file of that name.")


def too_large(num_bytes: int, limit: int) -> RefusedError:
    """Return the error for something of `num_bytes` bytes or more."""
    fault = f"has {num_bytes} bytes, and at most {limit} are taken"
    return RefusedError(fault, "Remove what is not code and hand it in again.")


def too_many() -> RefusedError:
    """Return the error for a folder or an archive with more than MAX_ENTRIES entries."""
    return RefusedError(f"holds more than {MAX_ENTRIES} entries", "Hand in the chapters' folders and nothing else.")


def folder_on_disk(path: Path) -> Folder:
    """Return the tree of a folder. `path` may be a link; links in the folder are refused."""
    return _folder(path, ())


def _folder(top: Path, parts: Parts) -> Folder:
    return Folder(name=parts[-1] if parts else top.name, entries=partial(_entries, top, parts))


def _entries(top: Path, parts: Parts) -> dict[str, Entry]:
    with _opened(top, parts) as descriptor, os.scandir(descriptor) as found:
        entries = {entry.name: _entry(entry, top, (*parts, entry.name)) for entry in islice(found, MAX_ENTRIES + 1)}
    if len(entries) > MAX_ENTRIES:
        raise too_many()
    return entries


def _entry(found: os.DirEntry[str], top: Path, parts: Parts) -> Entry:
    if found.is_symlink():
        return LINK
    if found.is_dir(follow_symlinks=False):
        return _folder(top, parts)
    return File(read=partial(_read, top, parts)) if found.is_file(follow_symlinks=False) else NOT_REGULAR


def _read(top: Path, parts: Parts, limit: int) -> bytes:
    with _opened(top, parts) as descriptor:
        return _read_regular(descriptor, limit)


def read_file(path: Path, limit: int) -> bytes:
    """Return the content of a regular file of at most `limit` bytes; links are followed.

    Raises: RefusedError.
    """
    with _opened(path, ()) as descriptor:
        return _read_regular(descriptor, limit)


@contextmanager
def _opened(top: Path, parts: Parts) -> Iterator[int]:
    """Open an entry, name by name, each in the opened folder before it: a folder may have become a link in the meantime."""
    try:
        # Without O_NONBLOCK a pipe that replaced the file would be waited for.
        descriptor = os.open(top, os.O_RDONLY | os.O_NONBLOCK)
        try:
            for part in parts:
                below = os.open(part, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)
    except OSError as error:
        raise RefusedError(f"cannot be read: {error.strerror}", "Hand it in again.") from None


def _read_regular(descriptor: int, limit: int) -> bytes:
    before = os.fstat(descriptor)
    if not stat.S_ISREG(before.st_mode):
        raise RefusedError(NOT_REGULAR.fault, NOT_REGULAR.remedy)
    if before.st_size > limit:
        raise too_large(before.st_size, limit)
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        content = file.read(before.st_size + 1)
    if len(content) != before.st_size or os.fstat(descriptor).st_mtime_ns != before.st_mtime_ns:
        raise RefusedError("changed while it was read", "Hand it in again.")
    return content


def doubles(name: str, present: Iterable[str]) -> list[str]:
    """Return the names that some file systems take for `name`: they differ from it only by case or by Unicode form."""
    return sorted(other for other in present if other != name and _folded(other) == _folded(name))


def _folded(name: str) -> str:
    # Cut, because a name can be made so that normalising it takes quadratic time.
    return unicodedata.normalize("NFKC", name[:MAX_SHOWN_NAME]).casefold()


def settle(entries: Mapping[str, Entry], expected: Iterable[str]) -> dict[str, Entry]:
    """Return the entries, but refuse an expected one that has a double, because either of the two may be meant."""
    settled = dict(entries)
    for name in expected:
        if name in entries and (others := doubles(name, entries)):
            fault = f"has a double: '{printable(others[0])}' differs only by case or by Unicode form"
            settled[name] = Refused(fault=fault, remedy=f"Keep one of the two, named {name}.")
    return settled


def printable(name: str) -> str:
    """Return a file name made safe to show and write: students can choose names of any bytes and length."""
    shown = name if len(name) <= MAX_SHOWN_NAME else name[:MAX_SHOWN_NAME] + "..."
    return shown if shown.isprintable() else repr(shown)[1:-1]
