"""Which folders are submissions, under which names, and where in them each chapter's files lie."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from course_env.errors import UsageError
from grader.batch.intake import printable
from grader.course.catalog import Chapter, Course

MAX_SHOWN = 5
MAX_NAME_BYTES = 200  # leaves room for what is appended in a file system that allows 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What one student handed in, not looked at yet."""

    name: str
    """Names the result file, so it is unique in a batch and safe as a file name."""

    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where the chapters of one submission lie."""

    top: Path
    """The folder whose entries are chapters, or that holds a chapter's files itself."""

    folders: Mapping[str, Path] = field(default_factory=dict)
    """By chapter id; a chapter that was not handed in is not here."""

    problem: str = ""
    """Why nothing could be found, in one sentence."""


def find_submissions(paths: Sequence[Path], course: Course) -> tuple[Submission, ...]:
    """Return the submissions in `paths`, sorted by name.

    A submission has its folder's name. A folder named like a chapter, as in `submitted/alice/ch02_x`, belongs to the
    submission whose folder it lies in: `alice`.
    Raises: UsageError if a path is no folder, or a name is unsafe or not unique.
    """
    chapters = {chapter.id for chapter in course.chapters}
    submissions: dict[str, Submission] = {}
    for path in paths:
        folder = path.resolve()
        name = folder.parent.name if folder.name in chapters else folder.name
        _check(path, name, submissions)
        submissions[name] = Submission(name=name, folder=folder)
    return tuple(submissions[name] for name in sorted(submissions))


def _check(path: Path, name: str, known: Mapping[str, Submission]) -> None:
    if not path.is_dir():
        state = "is no folder" if path.exists() else "does not exist"
        raise UsageError(f"{path} {state}. A submission is a folder that holds chNN_name/<files>. Nothing was graded.")
    if not re.fullmatch(r"\w[\w .@+,=-]*", name) or len(name.encode()) > MAX_NAME_BYTES:
        raise UsageError(
            f"{str(path)!r}: the name {name!r} is not safe as a file name. Rename the folder: letters, digits and "
            f". _ - + @ , = only, at most {MAX_NAME_BYTES} bytes, and a letter or digit first. Nothing was graded."
        )
    if name in known:
        raise UsageError(
            f"{path} and {known[name].folder} are both the submission '{name}'. Results are kept by name: rename one, "
            "or give the folder that holds both. Nothing was graded."
        )


def find_chapters(submission: Submission, course: Course) -> Layout:
    """Return where the course's chapters lie in a submission.

    These are understood: `alice/ch02_x/<files>`, a copy of the whole course (`alice/assignments/ch02_x/<files>`), a
    folder that is itself named like a chapter, and `alice/<files>` if the files are those of one chapter only.
    """
    folder = submission.folder
    known = {chapter.id: chapter for chapter in course.chapters}
    if folder.name in known:
        return Layout(top=folder, folders={folder.name: folder})
    for top in (folder, folder / "assignments"):
        if found := {name: top / name for name in known if _is_folder(top / name)}:
            return Layout(top=top, folders=found)
    fitting = [chapter for chapter in course.chapters if any((folder / file).is_file() for file in chapter.files)]
    if len(fitting) == 1:
        return Layout(top=folder, folders={fitting[0].id: folder})
    if fitting:
        names = " and ".join(chapter.id for chapter in fitting)
        return Layout(top=folder, problem=f"The files could be those of {names}: put them into folders so named.")
    return Layout(top=folder, problem=_what_is_there(folder, known.values()))


def _is_folder(path: Path) -> bool:
    # A link could point into somebody else's submission.
    return path.is_dir() and not path.is_symlink()


def _what_is_there(folder: Path, chapters: Iterable[Chapter]) -> str:
    try:
        entries = sorted(printable(entry.name) + "/" * entry.is_dir() for entry in folder.iterdir())
    except OSError as error:
        return f"The submission cannot be read: {error.strerror}."
    if not entries:
        return "The submission is an empty folder."
    more = f" and {len(entries) - MAX_SHOWN} more" if len(entries) > MAX_SHOWN else ""
    shown = ", ".join(entries[:MAX_SHOWN]) + more
    for chapter in chapters:
        for entry in entries:
            if entry.startswith(chapter.short) and entry.endswith("/"):
                return f"The submission holds {shown}. Rename {entry} to {chapter.id}/."
    return f"The submission holds only {shown}."
