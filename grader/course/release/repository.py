"""The student repository: what `grade release` writes, by allow-list, and the stubs that stand in `assignments/`.

What is not named here is not released. A new kind of file must be added on purpose.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from course_env.errors import CatalogError, UsageError
from grader.course.catalog import Chapter, Course
from grader.course.content.stubs import chapter_stubs
from grader.course.problem import Problem
from grader.course.release.chapter_list import README, chapter_list
from grader.course.release.leaks import is_public_name, leaks

CHAPTER_FILES = (
    "README.md",
    "assignment.toml",
    "programs.py",
    "programs_*.py",
    "references.py",
    "references_*.py",
    "test_*.py",
    "figures/*",
    "notebook/*.ipynb",
    "lab/*.py",
)
"""What a chapter's folder in `assignments/` may hold in addition to its stubs. Programs are what ranks run, references what tests share."""

PRISTINE = ".course/pristine"
"""Where a student's copy keeps each stub as it was released, so that a file can be reset."""

ROOT_FILES = (
    ".gitignore",
    "CHANGELOG.md",
    "LICENSE",
    "NOTICE",
    "SECURITY.md",
    "pyproject.toml",
    # The packages that a student's machine runs. The grader is one of them: `course check` needs it.
    "course_env/*.py",
    "course_env/py.typed",
    "course_env/*.txt",
    "course_env/*.yml",
    "grader/*.py",
    "slurm/*.py",
    "slurm/*.toml",
    "slurm/*.sh",
    "slurm/*.sbatch",
    "slurm/*.md",
    "docs/architecture.md",
    "docs/decisions/[0-9][0-9][0-9][0-9]-*.md",
)
"""What is released from the rest of the repository; `*` crosses folders."""

KEPT = ("docs/figures/*.py", "grader/course/release/student/*")
"""What stands beside it and is not released."""

_BYTECODE = "__pycache__"

CHAPTERS_GO_HERE = "<!-- the chapters -->"
"""The line of the student's README that a release replaces by the list of chapters."""

STUDENT_FOLDER = Path(__file__).parent / "student"
"""Files that students get instead of ours, because their copy has no solutions, no tests of the tools and no class."""


def release(course: Course, destination: Path) -> tuple[str, ...]:
    """Write the complete student repository to `destination`, all or nothing; return its files.

    Raises: UsageError if `destination` holds anything already; CatalogError if the course is broken, or if what was
        written shows any staff text.
    """
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise UsageError(f"{destination} exists and is not an empty folder. Name a new folder; nothing was written.")
    refuse_undeclared(course)
    copies = dict(_copies(course))
    texts = dict(_stubs(course)) | {README: _student_readme(course)}
    destination.parent.mkdir(parents=True, exist_ok=True)
    # Written to a temporary folder and scanned before it is moved to its destination: a release that leaks never appears.
    with tempfile.TemporaryDirectory(dir=destination.parent, prefix=".release-") as scratch:
        folder = Path(scratch, "release")
        _write(folder, copies, texts)
        _refuse_leaks(leaks(course, folder))
        if destination.exists():
            destination.rmdir()
        folder.rename(destination)
    return tuple(sorted({*copies, *texts}))


def write_stubs(course: Course) -> list[Path]:
    """Write every stub in `assignments/` that is missing or out of date; return the files that changed.

    Raises: CatalogError if a solution is missing, or no stub can be made of it.
    """
    changed = []
    for chapter in course.chapters:
        for file, text in chapter_stubs(chapter).items():
            path = chapter.folder / file
            if _read(path) != text:
                path.write_text(text, encoding="utf-8")
                changed.append(path)
    return changed


def stale_stubs(chapter: Chapter) -> Iterator[Problem]:
    """Yield each student file in `assignments/` that is missing, or is not the stub that its solution gives."""
    for file, text in chapter_stubs(chapter).items():
        committed = _read(chapter.folder / file)
        if committed != text:
            yield Problem(
                where=f"assignments/{chapter.id}/{file}",
                what="is missing."
                if committed is None
                else f"differs from its solution's stub at line {_first_difference(committed, text)}.",
                todo=f"Change solutions/{chapter.id}/{file} if the text is wrong, then run `grade release --stubs`.",
            )


def may_stand_in_assignments(chapter: Chapter, name: str) -> bool:
    """Whether `name`, relative to the chapter's folder, is a file that students get."""
    is_listed = any(fnmatch(name, pattern) and name.count("/") == pattern.count("/") for pattern in CHAPTER_FILES)
    return name in chapter.files or (is_listed and is_public_name(Path(name).name))


def refuse_undeclared(course: Course) -> None:
    """Check that each file in a folder that is released is declared, or known as one that stays here.

    Raises: CatalogError that names all others: a copy of a hidden test, a draft, what an editor left.
    """
    found = [*_undeclared(course)]
    if found:
        listing = "\n".join(f"  {name}: {why}" for name, why in found)
        raise CatalogError(
            f"{len(found)} files in folders that are released are not declared, so nothing was written:\n{listing}\n"
            "Delete or move them. If students shall get one, name it as CONTRIBUTING.md says, and `git add` it."
        )


def undeclared_problems(course: Course) -> Iterator[Problem]:
    """Yield each file that a release would refuse because nothing declares it."""
    for name, why in _undeclared(course):
        yield Problem(
            where=name, what=why, todo="Delete it, move it, or declare it (CONTRIBUTING.md) and `git add` it."
        )


def _undeclared(course: Course) -> Iterator[tuple[str, str]]:
    tracked = _tracked(course.root)
    chapters = {chapter.folder: chapter for chapter in course.chapters}
    for top in [*chapters, *(course.root / name for name in _tops() if (course.root / name).is_dir())]:
        for path in _files_below(top, course.root):
            name = path.relative_to(course.root).as_posix()
            if _BYTECODE in path.parts:
                continue
            if not _is_declared(path, chapters.get(top), name):
                yield name, "is not declared."
            elif tracked is not None and name not in tracked:
                yield name, "is not in git."


def _is_declared(path: Path, chapter: Chapter | None, name: str) -> bool:
    if chapter is not None:
        return may_stand_in_assignments(chapter, path.relative_to(chapter.folder).as_posix())
    return any(fnmatch(name, pattern) for pattern in KEPT) or (_is_released(name) and is_public_name(path.name))


def _is_released(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in ROOT_FILES)


def _tops() -> list[str]:
    return sorted({pattern.split("/")[0] for pattern in ROOT_FILES})


def _tracked(root: Path) -> frozenset[str] | None:
    """Return the files that git knows; None if the course is no repository of its own, or git is not installed."""
    if not (root / ".git").exists() or shutil.which("git") is None:
        return None
    done = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=False)
    return frozenset(done.stdout.decode(errors="replace").split("\0")) if done.returncode == 0 else None


def _stubs(course: Course) -> Iterator[tuple[str, str]]:
    """Yield name and text of each stub, once to be edited and once to be kept."""
    for chapter in course.chapters:
        for file, text in chapter_stubs(chapter).items():
            yield f"assignments/{chapter.id}/{file}", text
            yield f"{PRISTINE}/{chapter.id}/{file}", text


def _student_readme(course: Course) -> str:
    text = (STUDENT_FOLDER / README).read_text(encoding="utf-8")
    return text.replace(CHAPTERS_GO_HERE, "\n".join(chapter_list(course)))


def _copies(course: Course) -> Iterator[tuple[str, Path]]:
    """Yield name and path of each file that is released as it stands."""
    for chapter in course.chapters:
        for path in _files_below(chapter.folder, course.root):
            name = path.relative_to(chapter.folder).as_posix()
            if name not in chapter.files and may_stand_in_assignments(chapter, name):
                yield path.relative_to(course.root).as_posix(), path
    for path in _files_below(STUDENT_FOLDER, STUDENT_FOLDER):
        yield path.name, path
    for top in _tops():
        for path in _files_below(course.root / top, course.root):
            name = path.relative_to(course.root).as_posix()
            if _BYTECODE not in path.parts and _is_released(name) and not any(fnmatch(name, kept) for kept in KEPT):
                yield name, path


def _files_below(top: Path, root: Path) -> Iterator[Path]:
    for path in [top, *sorted(top.rglob("*"))]:
        if path.is_symlink():
            raise CatalogError(
                f"{path.relative_to(root)} is a link, which could show anything. Release files only: replace it."
            )
        if path.is_file():
            yield path


def _write(folder: Path, copies: dict[str, Path], texts: dict[str, str]) -> None:
    """Write copies first, then texts, which take the place of a copy of the same name."""
    for name, source in copies.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, folder / name)
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def _refuse_leaks(found: list[Problem]) -> None:
    if found:
        listing = "\n".join(f"  {problem}" for problem in found)
        raise CatalogError(
            f"The release would show staff text in {len(found)} places, so nothing was written:\n{listing}"
        )


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None


def _first_difference(one: str, other: str) -> int:
    lines = zip(one.splitlines(), other.splitlines(), strict=False)
    same = 0
    for left, right in lines:
        if left != right:
            break
        same += 1
    return same + 1
