"""Which course a command works on: the one around the current folder, if the command is of the same copy."""

import shlex
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import grader
from course_env.errors import UsageError
from grader.course.catalog import Course, find_root, load_course

OURS = Path(grader.__file__).parent.parent
"""The folder that holds the packages of this command."""

PACKAGES = ("course_env", "grader", "slurm")


def course_here() -> Course:
    """Return the course at or above the current folder.

    Raises: UsageError if there is none, or if it has tools of its own that differ from this command.
    """
    return load_course(root_here())


def root_here() -> Path:
    """Return the folder of the course; raise what `course_here` raises."""
    root = find_root(current_folder())
    if not _is_of_our_copy(root):
        raise UsageError(_another_copy(root))
    return root


def current_folder() -> Path:
    """Return the current folder.

    Raises: UsageError if it is no longer there.
    """
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise UsageError("The folder that you are in has been deleted. Change to the course's folder: cd DIR") from None


def require_utf8(paths: Iterable[Path]) -> None:
    """Raise UsageError if jobs cannot be told one of these paths, because it is not UTF-8."""
    for path in paths:
        try:
            str(path).encode()
        except UnicodeEncodeError:
            raise UsageError(
                f"Jobs can only be told paths that are UTF-8, which {path} is not. Rename the folder, or leave --on out."
            ) from None


def _is_of_our_copy(root: Path) -> bool:
    """Whether the tools of the course at `root` are those that run, or the same word for word; a course may have none."""
    if not (root / "grader" / "cli").is_dir() or root.samefile(OURS):
        return True
    return dict(_modules(root)) == dict(_modules(OURS))


def _modules(folder: Path) -> Iterator[tuple[str, bytes]]:
    for package in PACKAGES:
        for path in (folder / package).rglob("*.py"):
            yield str(path.relative_to(folder)), path.read_bytes()


def _another_copy(root: Path) -> str:
    name, *arguments = Path(sys.argv[0]).name, *sys.argv[1:]
    own = root / ".venv" / "bin" / name
    if Path(sys.prefix).resolve() == (root / ".venv").resolve():
        todo = f"Install this copy again: {shlex.join([sys.executable, '-m', 'pip', 'install', '-e', str(root)])}"
    elif own.exists():
        todo = f"Type: {shlex.join([str(own), *arguments])}"
    else:
        todo = f"Make this copy's own: cd {shlex.quote(str(root))} && make. Then type: {shlex.join([str(own), *arguments])}"
    return (
        f"This `{name}` is of another copy of the course. It runs what is in {OURS}, "
        f"but you are in {root}, whose tools are different. {todo}"
    )
