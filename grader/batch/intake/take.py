"""What is graded of a submission: the chapter's declared files, if they are regular, small and UTF-8. The rest is listed.

Files are read once, here: these bytes are judged, recorded, and compared on a later `--resume`.
"""

import difflib
import hashlib
import io
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass

from grader.batch.intake.archive import archive_stem
from grader.batch.intake.listing import LeftOut, TakenFile
from grader.batch.intake.tree import NOT_REGULAR, Entry, Folder, Refused, RefusedError, doubles, printable, settle
from grader.course.catalog import Chapter
from grader.harness.outcome import Outcome

MAX_LISTED = 100
CLUTTER = frozenset({"__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why an exercise cannot be run, in words for the student."""

    outcome: Outcome
    explanation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """One chapter of a submission: what was taken, what was left out, and what is wrong with the other files."""

    chapter: Chapter
    contents: Mapping[str, bytes]
    """The accepted files, by name."""

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


def take_chapter(chapter: Chapter, folder: Folder) -> Intake:
    """Return what `folder` holds for `chapter`."""
    try:
        entries = settle(folder.entries(), chapter.files)
    except RefusedError as refusal:
        return nothing_to_take(chapter, f"{printable(folder.name)}/ {refusal.fault}.")
    contents, faults, refused = {}, {}, []
    for file in chapter.files:
        if file not in entries:
            faults[file] = Fault(outcome=Outcome.NOT_ATTEMPTED, explanation=_missing(file, chapter, list(entries)))
            continue
        try:
            contents[file] = _take(entries[file])
        except RefusedError as refusal:
            faults[file] = Fault(outcome=Outcome.FAILED, explanation=f"{file} {refusal}")
            refused.append(LeftOut(path=file, reason=refusal.fault))
    strangers = {name: entry for name, entry in entries.items() if name not in chapter.files}
    return Intake(
        chapter=chapter,
        contents=contents,
        faults=faults,
        left_out=(*refused, *list_left_out(strangers, "is not one of the chapter's files")),
    )


def nothing_to_take(chapter: Chapter, problem: str) -> Intake:
    """Return the intake of a chapter that was not handed in; `problem` says what was handed in instead."""
    explanation = (
        f"Nothing was handed in for {chapter.id}. {problem} Expected: {chapter.id}/ with {_all_files(chapter)}."
    )
    fault = Fault(outcome=Outcome.NOT_ATTEMPTED, explanation=explanation)
    return Intake(chapter=chapter, contents={}, faults=dict.fromkeys(chapter.files, fault), left_out=())


def list_others(top: Folder, expected: set[str]) -> tuple[LeftOut, ...]:
    """Return what lies in `top` next to the chapters that are graded."""
    try:
        entries = top.entries()
    except RefusedError:
        return ()
    others = {name: entry for name, entry in entries.items() if name not in expected}
    return list_left_out(others, "is not one of the chapters to grade")


def list_left_out(entries: Mapping[str, Entry], reason: str) -> tuple[LeftOut, ...]:
    """Return entries as a result lists them; `reason` is for those that were not refused for another."""
    names = sorted(name for name in entries if not is_clutter(name))
    listed = [LeftOut(path=printable(name), reason=_reason(name, entries[name], reason)) for name in names[:MAX_LISTED]]
    if len(names) > MAX_LISTED:
        listed.append(LeftOut(path="...", reason=f"and {len(names) - MAX_LISTED} more"))
    return tuple(listed)


def _reason(name: str, entry: Entry, reason: str) -> str:
    if isinstance(entry, Refused):
        return entry.fault
    return "is an archive inside the submission, and those are not opened" if archive_stem(name) else reason


def is_clutter(name: str) -> bool:
    """Return whether a desktop wrote this by itself. Nobody handed it in, so it is not listed as left out."""
    return name in CLUTTER or name.startswith("._")


def _missing(file: str, chapter: Chapter, present: list[str]) -> str:
    strangers = [name for name in present if name not in chapter.files]
    close = doubles(file, strangers) or difflib.get_close_matches(file, strangers, n=1, cutoff=0.7)
    hand_in_all = f"Hand in all files: {_all_files(chapter)}."
    remedy = f"There is a '{printable(close[0])}': rename it." if close else hand_in_all
    return f"{file} is missing: the submission has no such file. {remedy}"


def _all_files(chapter: Chapter) -> str:
    return ", ".join(chapter.files)


def _take(entry: Entry) -> bytes:
    if isinstance(entry, Folder):
        raise RefusedError(NOT_REGULAR.fault, NOT_REGULAR.remedy)
    if isinstance(entry, Refused):
        raise RefusedError(entry.fault, entry.remedy)
    content = entry.read()
    _require_utf8(content)
    return content


def _require_utf8(content: bytes) -> None:
    """Raise RefusedError if Python would not read this as UTF-8 text. A byte order mark of UTF-8 is allowed."""
    remedy = "Save it as UTF-8 and hand it in again."
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        fault = f"is not UTF-8 text: byte 0x{content[error.start]:02x} at position {error.start}"
        raise RefusedError(fault, remedy) from None
    if b"\0" in content:
        raise RefusedError(f"is not text: a NUL byte at position {content.index(0)}", remedy)
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
    except SyntaxError:
        encoding = "one that Python does not know"
    if encoding not in {"utf-8", "utf-8-sig", "ascii"}:
        fault = f"declares another encoding than UTF-8 in its first two lines: {encoding}"
        raise RefusedError(fault, "Remove that comment, save the file as UTF-8 and hand it in again.")
