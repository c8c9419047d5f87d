"""Finds submissions among folders and archives, their names, and the files of each chapter in them."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from course_env.errors import UsageError
from grader.batch.intake.archive import SUFFIXES, archive_folder, archive_stem
from grader.batch.intake.listing import LeftOut
from grader.batch.intake.take import is_clutter, list_left_out
from grader.batch.intake.tree import Entry, Folder, Refused, RefusedError, doubles, folder_on_disk, printable, settle
from grader.course.catalog import Chapter, Course

MAX_SHOWN = 5
MAX_NAME_BYTES = 200  # leaves room for what is appended in a file system that allows 255
WHAT_IS_ONE = f"A submission is a folder that holds chNN_name/<files>, or an archive of one ({' '.join(SUFFIXES)})."


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What one student handed in; nothing of it has been read yet."""

    name: str
    """Unique in a batch and safe as a file name, because the result file is named after it."""

    path: Path
    """A folder or an archive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChapterFolders:
    """Where the chapters of one submission lie."""

    top: Folder
    """The folder that holds the chapters' folders, or directly the files of one chapter."""

    folders: Mapping[str, Folder] = field(default_factory=dict)
    """By chapter id, without those that were not handed in."""

    problem: str = ""
    """Why not every chapter could be found; empty if there is nothing to say."""

    left_out: tuple[LeftOut, ...] = ()
    """What was refused outside `top`."""


def find_submissions(paths: Sequence[Path], course: Course) -> tuple[Submission, ...]:
    """Return the submissions in `paths`, sorted by name.

    A submission has the name of its folder, or of its archive without the suffix. If that is the name of a chapter, as in
    `submitted/alice/ch02_x` or `submitted/alice/ch02_x.zip`, it has the name of the folder around it: `alice`.
    Raises: UsageError if a path is neither a folder nor an archive, or a name is unsafe or not unique.
    """
    chapters = {chapter.id for chapter in course.chapters}
    submissions: dict[str, Submission] = {}
    for path in paths:
        # A link that is given here is followed, but keeps its own name, which is the student's.
        absolute = Path(os.path.abspath(path))  # noqa: PTH100 -- Path.resolve would give the name of what it points to
        own = absolute.name if path.is_dir() else archive_stem(absolute.name)
        name = absolute.parent.name if own in chapters else own
        _check(path, name, submissions)
        submissions[name] = Submission(name=name, path=absolute)
    return tuple(submissions[name] for name in sorted(submissions))


def _check(path: Path, name: str, known: Mapping[str, Submission]) -> None:
    if not path.is_dir() and not (path.is_file() and archive_stem(path.name)):
        state = "is no folder and no archive" if path.exists() else "does not exist"
        raise UsageError(f"{path} {state}. {WHAT_IS_ONE} Nothing was graded.")
    if not re.fullmatch(r"\w[\w .@+,=-]*", name) or len(name.encode()) > MAX_NAME_BYTES:
        raise UsageError(
            f"{str(path)!r}: the name {name!r} is not safe as a file name. Rename it: letters, digits and "
            f". _ - + @ , = only, at most {MAX_NAME_BYTES} bytes, and a letter or digit first. Nothing was graded."
        )
    if name in known:
        raise UsageError(
            f"{path} and {known[name].path} are both the submission '{name}'. Results are kept by name: rename one, "
            "or give the folder that holds both. Nothing was graded."
        )


def find_chapters(submission: Submission, course: Course) -> ChapterFolders:
    """Return where the course's chapters lie in a submission.

    Four layouts are understood: `alice/ch02_x/<files>`; a copy of the whole course, `alice/assignments/ch02_x/<files>`; a
    folder that has the name of a chapter; and `alice/<files>` if only one chapter has such files. Each may lie in one
    more folder, as some tools pack it.
    """
    try:
        return _find_in(_open(submission.path), course)
    except RefusedError as refusal:
        name = printable(submission.path.name)
        return ChapterFolders(
            top=Folder(name=name, entries=dict),
            problem=f"{name} {refusal}",
            left_out=(LeftOut(path=name, reason=refusal.fault),),
        )


def _open(path: Path) -> Folder:
    return folder_on_disk(path) if path.is_dir() else archive_folder(path)


def _find_in(root: Folder, course: Course) -> ChapterFolders:
    known = {chapter.id: chapter for chapter in course.chapters}
    bases = [root, *_only_folder(root, course.chapters)]
    for top in _tops(bases):
        entries = settle(top.entries(), known)
        folders = {name: entry for name in known if isinstance(entry := entries.get(name), Folder)}
        problem = " ".join(_unclear(name, entries) for name in known if name not in folders).strip()
        if folders or problem:
            return ChapterFolders(top=_holding(entries), folders=folders, problem=problem, left_out=_refused(root, top))
    return _find_flat(root, bases, known)


def _holding(entries: Mapping[str, Entry]) -> Folder:
    return Folder(name="", entries=lambda: entries)


def _tops(bases: Iterable[Folder]) -> Iterator[Folder]:
    for base in bases:
        yield base
        if isinstance(below := base.entries().get("assignments"), Folder):
            yield below


def _only_folder(root: Folder, chapters: Iterable[Chapter]) -> list[Folder]:
    """Return the only entry of `root` if it is a folder that is not meant to be a chapter, else nothing."""
    usable = [
        entry for name, entry in root.entries().items() if not is_clutter(name) and not isinstance(entry, Refused)
    ]
    return [
        entry
        for entry in usable
        if isinstance(entry, Folder) and len(usable) == 1 and not any(_means(entry, chapter) for chapter in chapters)
    ]


def _means(folder: Folder, chapter: Chapter) -> bool:
    return folder.name.casefold().startswith(chapter.short)


def _unclear(chapter_id: str, entries: Mapping[str, Entry]) -> str:
    """Return why a chapter cannot be taken although something like it was handed in, or ""."""
    entry = entries.get(chapter_id)
    if isinstance(entry, Refused):
        return f"{chapter_id} {entry.fault}. {entry.remedy}"
    others = doubles(chapter_id, entries)
    return f"There is a '{printable(others[0])}': rename it to {chapter_id}." if others else ""


def _refused(root: Folder, top: Folder) -> tuple[LeftOut, ...]:
    """Return what was refused outside `top`; what is refused in it is listed later, with everything else."""
    if top is root:
        return ()
    return list_left_out({name: entry for name, entry in root.entries().items() if isinstance(entry, Refused)}, "")


def _find_flat(root: Folder, bases: Sequence[Folder], known: Mapping[str, Chapter]) -> ChapterFolders:
    candidates = [known[root.name]] if root.name in known else list(known.values())
    for base in bases:
        files = {name for name, entry in base.entries().items() if not isinstance(entry, Folder)}
        fitting = [chapter for chapter in candidates if files.intersection(chapter.files)]
        if len(fitting) == 1:
            return ChapterFolders(top=base, folders={fitting[0].id: base}, left_out=_refused(root, base))
        if fitting:
            names = " and ".join(chapter.id for chapter in fitting)
            problem = f"The files could be those of {names}: put them into folders so named."
            return ChapterFolders(top=base, problem=problem, left_out=_refused(root, base))
    if root.name in known:
        return ChapterFolders(top=root, folders={root.name: root})
    top = bases[-1]
    return ChapterFolders(top=top, problem=_what_is_there(top, known.values()), left_out=_refused(root, top))


def _what_is_there(top: Folder, chapters: Iterable[Chapter]) -> str:
    entries = {name: entry for name, entry in top.entries().items() if not is_clutter(name)}
    if not entries:
        return "The submission is an empty folder."
    left_out = list_left_out(entries, "")
    shown = ", ".join(
        left.path + "/" * isinstance(entries.get(left.path), Folder) + (f" ({left.reason})" if left.reason else "")
        for left in left_out[:MAX_SHOWN]
    )
    if len(entries) > MAX_SHOWN:
        shown += f" and {len(entries) - MAX_SHOWN} more"
    for chapter in chapters:
        for entry in entries.values():
            if isinstance(entry, Folder) and _means(entry, chapter):
                name = printable(entry.name)
                return f"The submission holds {shown}. Rename {name}/ to {chapter.id}/."
    return f"The submission holds only {shown}."
