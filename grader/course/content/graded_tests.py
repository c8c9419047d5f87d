"""The graded tests as they stand in the files, read by `ast`: which exercise and aspect each claims, and its docstring.

Nothing is imported, so that a chapter can be checked on a machine without torch.
"""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from grader.course.catalog import Chapter
from grader.course.content.regions import parse

HIDDEN = "test_*_hidden.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class TestFunction:
    """One test function; its parametrisation counts as one test here."""

    name: str
    where: str
    """File, relative to the course's root, and line."""

    file: str
    """Its bare name."""

    claim: str | None
    """The docstring; None without one."""

    exercise: str | None
    """None without a marker, or with one whose arguments are not plain strings."""

    aspect: str | None
    """None without a marker, or with one whose arguments are not plain strings."""


def public_tests(chapter: Chapter) -> list[TestFunction]:
    """Return the tests that students see."""
    return _tests_in(chapter, public_test_files(chapter))


def hidden_tests(chapter: Chapter) -> list[TestFunction]:
    """Return the tests that only staff see."""
    return _tests_in(chapter, hidden_test_files(chapter))


def public_test_files(chapter: Chapter) -> list[Path]:
    """Return the files of the tests that students see: `test_<file>.py` of each student file. No other file is graded with."""
    return _existing(chapter.folder / f"test_{file}" for file in chapter.files)


def hidden_test_files(chapter: Chapter) -> list[Path]:
    """Return the files of the tests that only staff see: `test_<file>_hidden.py` of each student file."""
    return _existing(chapter.solution / HIDDEN.replace("*", Path(file).stem) for file in chapter.files)


def foreign_test_files(chapter: Chapter) -> list[Path]:
    """Return the test files of both folders that belong to no student file, such as a student's own tests."""
    graded = {*public_test_files(chapter), *hidden_test_files(chapter)}
    found = [path for folder in (chapter.folder, chapter.solution) for path in sorted(folder.glob("test_*.py"))]
    return [path for path in found if path not in graded]


def _existing(paths: Iterable[Path]) -> list[Path]:
    return sorted(path for path in paths if path.is_file())


def _tests_in(chapter: Chapter, paths: Iterable[Path]) -> list[TestFunction]:
    root = chapter.folder.parent.parent
    return [test for path in paths for test in _read_tests(path, str(path.relative_to(root)))]


def _read_tests(path: Path, where: str) -> Iterator[TestFunction]:
    tree = parse(path.read_text(encoding="utf-8"), where)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
            marker = next((mark for mark in node.decorator_list if _is_exercise_marker(mark)), None)
            exercise, aspect = _arguments(marker) if isinstance(marker, ast.Call) else (None, None)
            yield TestFunction(
                name=node.name,
                where=f"{where}:{node.lineno}",
                file=path.name,
                claim=ast.get_docstring(node),
                exercise=exercise,
                aspect=aspect,
            )


def _is_exercise_marker(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "exercise"


def _arguments(marker: ast.Call) -> tuple[str | None, str | None]:
    exercise = _text(marker.args[0]) if marker.args else None
    aspect = next((_text(keyword.value) for keyword in marker.keywords if keyword.arg == "aspect"), None)
    return exercise, aspect


def _text(value: ast.expr) -> str | None:
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None
