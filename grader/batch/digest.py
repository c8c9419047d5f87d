"""A hash of what grades a chapter: if it was edited, a resumed batch grades the chapter again."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import course_env
from grader.course.catalog import Chapter

COURSE_ENV = Path(course_env.__file__).parent


def course_digest(chapter: Chapter, *, shared: Path = COURSE_ENV) -> str:
    """Return one hash over the chapter's declaration, programs, references and tests, hidden ones included.

    `shared` is the package whose models and rank programs they use. Student files and solutions are left out: they do
    not decide a score.
    """
    total = hashlib.sha256()
    for name, path in sorted([*_chapter_files(chapter), *_shared_files(shared)]):
        total.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def _chapter_files(chapter: Chapter) -> Iterator[tuple[str, Path]]:
    root = chapter.folder.parent.parent
    code = [path for folder in (chapter.folder, chapter.solution) for path in folder.glob("*.py")]
    for path in [chapter.folder / "assignment.toml", *(path for path in code if path.name not in chapter.files)]:
        yield path.relative_to(root).as_posix(), path


def _shared_files(shared: Path) -> Iterator[tuple[str, Path]]:
    for path in shared.glob("*.py"):
        yield f"course_env/{path.name}", path
