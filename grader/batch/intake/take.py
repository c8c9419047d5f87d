"""What is graded of a submission: the chapter's declared files, if they are regular, small and UTF-8. The rest is listed.

Files are read once, here: these bytes are judged, recorded, and compared on a later `--resume`.
"""

import hashlib
import io
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from grader.batch.intake.archive import archive_stem
from grader.batch.intake.likeness import look_alike
from grader.batch.intake.listing import Declared, LeftOut, TakenFile
from grader.batch.intake.tree import (
    MAX_FILE_BYTES,
    NOT_REGULAR,
    Entry,
    Folder,
    Refused,
    RefusedError,
    printable,
    settle,
)
from grader.course.catalog import Chapter
from grader.harness.outcome import Outcome

MAX_LISTED = 100
NOWHERE: Mapping[str, str] = MappingProxyType({})
CLUTTER = frozenset(
    {"__MACOSX", ".DS_Store", ".localized", "Icon\r", "Thumbs.db", "ehthumbs.db", "desktop.ini", "Desktop.ini"}
    | {"$RECYCLE.BIN", "System Volume Information", ".Trashes", ".Spotlight-V100", ".fseventsd", "@eaDir", "lost+found"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why an exercise cannot be run, in words for the student."""

    outcome: Outcome
    explanation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChapterFiles:
    """One chapter of a submission: what was taken, what was left out, and what is wrong with the other files."""

    contents: Mapping[str, bytes]
    """The accepted files, by name."""

    faults: Mapping[str, Fault]
    """For each declared file that was not accepted."""

    left_out: tuple[LeftOut, ...] = ()
    found_in: str = ""
    """The path in the submission to the folder of the files; empty if they lie at its top, or if there are none."""

    @property
    def taken(self) -> tuple[TakenFile, ...]:
        """The accepted files as a result lists them; equal lists mean equal files."""
        return tuple(
            TakenFile(file=file, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
            for file, content in self.contents.items()
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake(ChapterFiles):
    """What was taken for a chapter, with the chapter."""

    chapter: Chapter


def take_chapter(
    chapter: Declared, folder: Folder, *, found_in: str = "", elsewhere: Mapping[str, str] = NOWHERE
) -> ChapterFiles:
    """Return what `folder` holds for `chapter`; `elsewhere`: where in the submission other files of its names lie."""
    try:
        entries = settle(folder.entries(), chapter.files)
    except RefusedError as refusal:
        return nothing_to_take(chapter, f"{printable(folder.name)}/ {refusal.fault}.")
    contents, faults, refused = {}, {}, []
    for file in chapter.files:
        if file not in entries:
            explanation = _missing(file, chapter, list(entries), elsewhere.get(file, ""))
            faults[file] = Fault(outcome=Outcome.NOT_ATTEMPTED, explanation=explanation)
            continue
        try:
            contents[file] = _take(entries[file])
        except RefusedError as refusal:
            faults[file] = Fault(outcome=Outcome.FAILED, explanation=f"{file} {refusal}")
            refused.append(LeftOut(path=file, reason=refusal.fault))
    strangers = {name: entry for name, entry in entries.items() if name not in chapter.files}
    return ChapterFiles(
        contents=contents,
        faults=faults,
        left_out=(*refused, *list_left_out(strangers, "is not one of the chapter's files")),
        found_in=found_in if contents else "",
    )


def nothing_to_take(chapter: Declared, problem: str, left_out: tuple[LeftOut, ...] = ()) -> ChapterFiles:
    """Return the files of a chapter that was not handed in; `problem` says what was handed in instead."""
    explanation = (
        f"Nothing was handed in for {chapter.id}. {problem} Expected: {chapter.id}/ with {_all_files(chapter)}."
    )
    fault = Fault(outcome=Outcome.NOT_ATTEMPTED, explanation=explanation)
    return ChapterFiles(contents={}, faults=dict.fromkeys(chapter.files, fault), left_out=left_out)


def list_left_out(entries: Mapping[str, Entry], reason: str, *, above: str = "") -> tuple[LeftOut, ...]:
    """Return entries as a result lists them.

    `reason` is for those that were not refused for another, and `above` is the path of the folder in which they lie.
    """
    names = sorted(name for name in entries if not is_clutter(name))
    listed = [
        LeftOut(path=f"{above}{printable(name)}", reason=_reason(name, entries[name], reason))
        for name in names[:MAX_LISTED]
    ]
    if len(names) > MAX_LISTED:
        listed.append(LeftOut(path=f"{above}...", reason=f"and {len(names) - MAX_LISTED} more"))
    return tuple(listed)


def _reason(name: str, entry: Entry, reason: str) -> str:
    if isinstance(entry, Refused):
        return entry.fault
    return "is an archive inside the submission, and was not opened" if archive_stem(name) else reason


def is_clutter(name: str) -> bool:
    """Return whether a desktop wrote this by itself. Nobody handed it in, so it is not listed as left out."""
    return name in CLUTTER or name.startswith(("._", "~$", ".~lock."))


def _missing(file: str, chapter: Declared, present: list[str], elsewhere: str) -> str:
    if elsewhere:
        return f"{file} is missing in {chapter.id}/. There is a {elsewhere}: put it into {chapter.id}/."
    strangers = [name for name in present if name not in chapter.files]
    remedy = look_alike(file, strangers) or f"Hand in all files: {_all_files(chapter)}."
    return f"{file} is missing: the submission has no such file. {remedy}"


def _all_files(chapter: Declared) -> str:
    return ", ".join(chapter.files)


def _take(entry: Entry) -> bytes:
    if isinstance(entry, Folder):
        raise RefusedError(NOT_REGULAR.fault, NOT_REGULAR.remedy)
    if isinstance(entry, Refused):
        raise RefusedError(entry.fault, entry.remedy)
    content = entry.read(MAX_FILE_BYTES)
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
