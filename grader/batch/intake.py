"""What of a submission is graded: the chapter's declared files, regular, small and UTF-8. All else is listed.

Files are read once, here; what is judged, recorded and compared on a later `--resume` are these bytes.
"""

import difflib
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from grader.batch.result import LeftOut, TakenFile
from grader.course.catalog import Chapter
from grader.harness.outcome import Outcome

MAX_FILE_BYTES = 1 << 20
MAX_LISTED = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why an exercise cannot be run, as the student should read it."""

    outcome: Outcome
    explanation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """One chapter of a submission: what was taken, what was left, and what is wrong with the rest."""

    chapter: Chapter
    contents: Mapping[str, bytes]
    """The accepted files."""

    faults: Mapping[str, Fault]
    """For each declared file that was not accepted."""

    left_out: tuple[LeftOut, ...]

    @property
    def taken(self) -> tuple[TakenFile, ...]:
        """The accepted files as a result lists them; equal lists mean equal files."""
        return tuple(
            TakenFile(file=file, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
            for file, content in self.contents.items()
        )


class _RefusedError(Exception):
    """A file cannot be taken. Its two arguments: what is wrong, and what the student should do."""


def take_chapter(chapter: Chapter, folder: Path) -> Intake:
    """Return what `folder` holds for `chapter`."""
    try:
        entries = {entry.name: entry for entry in folder.iterdir()}
    except OSError as error:
        return nothing_to_take(chapter, f"{folder.name}/ cannot be read: {error.strerror}.")
    contents, faults, refused = {}, {}, []
    for file in chapter.files:
        if file not in entries:
            faults[file] = Fault(outcome=Outcome.NOT_ATTEMPTED, explanation=_missing(file, chapter, list(entries)))
            continue
        try:
            contents[file] = _read(entries[file])
        except _RefusedError as refusal:
            fault, mend = refusal.args
            faults[file] = Fault(outcome=Outcome.FAILED, explanation=f"{file} {fault}. {mend}")
            refused.append(LeftOut(path=file, reason=fault))
    strangers = [entry for name, entry in sorted(entries.items()) if name not in chapter.files]
    return Intake(
        chapter=chapter,
        contents=contents,
        faults=faults,
        left_out=(*refused, *_list(strangers, "is not one of the chapter's files")),
    )


def nothing_to_take(chapter: Chapter, problem: str) -> Intake:
    """Return the intake of a chapter that was not handed in; `problem` says what is there instead."""
    explanation = (
        f"Nothing was handed in for {chapter.id}. {problem} Expected: {chapter.id}/ with {_all_files(chapter)}."
    )
    fault = Fault(outcome=Outcome.NOT_ATTEMPTED, explanation=explanation)
    return Intake(chapter=chapter, contents={}, faults=dict.fromkeys(chapter.files, fault), left_out=())


def list_beside(top: Path, expected: set[str]) -> tuple[LeftOut, ...]:
    """Return what lies in `top` beside the chapters that are graded."""
    try:
        beside = sorted(entry for entry in top.iterdir() if entry.name not in expected)
    except OSError:
        return ()
    return tuple(_list(beside, "is not one of the chapters to grade"))


def printable(name: str) -> str:
    """Return a file name as it can be shown and written: students choose names, of any bytes."""
    return name if name.isprintable() else repr(name)[1:-1]


def _list(paths: list[Path], reason: str) -> Iterator[LeftOut]:
    for path in paths[:MAX_LISTED]:
        yield LeftOut(path=printable(path.name), reason="is a link" if path.is_symlink() else reason)
    if len(paths) > MAX_LISTED:
        yield LeftOut(path="...", reason=f"and {len(paths) - MAX_LISTED} more")


def _missing(file: str, chapter: Chapter, present: list[str]) -> str:
    strangers = [name for name in present if name not in chapter.files]
    close = difflib.get_close_matches(file, strangers, n=1, cutoff=0.7)
    mend = f"There is a '{printable(close[0])}': rename it." if close else f"Hand in all files: {_all_files(chapter)}."
    return f"{file} is missing: the submission has no such file. {mend}"


def _all_files(chapter: Chapter) -> str:
    return ", ".join(chapter.files)


def _read(path: Path) -> bytes:
    try:
        content = _read_regular(path)
    except OSError as error:
        raise _RefusedError(f"cannot be read: {error.strerror}", "Hand it in again.") from None
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        fault = f"is not UTF-8 text: byte 0x{content[error.start]:02x} at position {error.start}"
        raise _RefusedError(fault, "Save it as UTF-8 and hand it in again.") from None
    return content


def _read_regular(path: Path) -> bytes:
    # Looked at before it is opened, because opening a device can act on it; and after, because it may be swapped.
    kind = path.lstat().st_mode
    if stat.S_ISLNK(kind):
        raise _RefusedError("is a link", "Hand in the file itself.")
    if not stat.S_ISREG(kind):
        raise _RefusedError("is not a regular file", "Hand in a file of that name.")
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        state = os.fstat(file.fileno())
        content = file.read(MAX_FILE_BYTES + 1)
    if not stat.S_ISREG(state.st_mode):
        raise _RefusedError("is not a regular file", "Hand in a file of that name.")
    if len(content) > MAX_FILE_BYTES:
        fault = f"has {state.st_size} bytes, and at most {MAX_FILE_BYTES} are taken"
        raise _RefusedError(fault, "Remove what is not code and hand it in again.")
    return content
