"""A hash of a chapter's tests and programs: if they were edited, a resumed batch grades the chapter again."""

import hashlib
from pathlib import Path

from grader.course.catalog import Chapter


def course_digest(chapter: Chapter) -> str:
    """Return one hash over the chapter's declaration, programs and tests, hidden ones included.

    Student files and solutions are left out, because they do not decide a score.
    """
    total = hashlib.sha256()
    for path in _grading_files(chapter):
        name = path.relative_to(chapter.folder.parent.parent).as_posix()
        total.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def _grading_files(chapter: Chapter) -> list[Path]:
    code = [*chapter.folder.glob("*.py"), *chapter.solution.glob("*.py")]
    return sorted([chapter.folder / "assignment.toml", *(path for path in code if path.name not in chapter.files)])
