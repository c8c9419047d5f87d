"""Whether an exercise was attempted at all, found by reading: of what is still the stub, no test need run.

Files are compared as syntax trees, so formatting and comments do not matter. In doubt an exercise counts as attempted: then its
tests say how it ends.
"""

import ast

from grader.course.catalog import Chapter, Exercise
from grader.course.content.stubs import read_stub

MAX_BYTES = 1 << 18
"""Of a file that is parsed, in the command itself."""

_PLAIN = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
"""Statements at the top of a file that bind names one can read off."""


def untouched(source: bytes, chapter: Chapter, file: str) -> list[Exercise]:
    """Return those of a file's exercises of which all symbols are still the stub's; `source` is the student's file."""
    if len(source) > MAX_BYTES:
        return []
    with_gaps = [exercise for exercise in chapter.exercises_in(file) if f"TODO({exercise.id})".encode() in source]
    if not with_gaps:
        return []
    try:
        given, handed_in = ast.parse(read_stub(chapter, file)), ast.parse(source)
        if not all(_is_plain(node) for node in handed_in.body):
            return []
        return [exercise for exercise in with_gaps if _is_as_given(exercise, given, handed_in)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []


def _is_as_given(exercise: Exercise, given: ast.Module, handed_in: ast.Module) -> bool:
    return all(_bindings(handed_in, symbol) == _bindings(given, symbol) != [] for symbol in exercise.symbols)


def _is_plain(node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.ImportFrom):
        return all(alias.name != "*" for alias in node.names)
    return isinstance(node, _PLAIN)


def _bindings(tree: ast.Module, name: str) -> list[str]:
    """Return the statements at the top of a file that bind a name, as text without positions."""
    return [ast.dump(node) for node in tree.body if name in _bound(node)]


def _bound(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name.partition(".")[0] for alias in node.names}
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)}
