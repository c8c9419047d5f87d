"""What a plain assertion of a test claims: the expression as it stands in the test, and the values of its names.

pytest shows the values that an assertion compared. "assert 6 <= (2 * 2)" is of little use to whoever does not know of what.
"""

import ast
import linecache
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

FOLDERS = ("assignments", "solutions")
SIMPLE = (bool, int, float, str, list, tuple, dict)


def claim_of(error: AssertionError, root: Path) -> str | None:
    """Return what the assertion that raised `error` claims.

    root: the course's folder
    Returns: a sentence, "This does not hold: comm.rounds() <= 2 * hops (hops = 2)."; None if no file of the course asserts this, or if the assertion has a message of its own.
    """
    frame, line = _last(error.__traceback__)
    if frame is None or not _is_of_course(frame.f_code.co_filename, root):
        return None
    asserted = _assertion_at("".join(linecache.getlines(frame.f_code.co_filename)), line)
    if asserted is None or asserted.msg is not None:
        return None
    values = ", ".join(_values(asserted.test, frame.f_locals))
    return f"This does not hold: {ast.unparse(asserted.test)}" + (f" ({values})." if values else ".")


def _last(traceback: TracebackType | None) -> tuple[FrameType | None, int]:
    """Return the innermost frame of a traceback, and its line."""
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return (None, 0) if traceback is None else (traceback.tb_frame, traceback.tb_lineno)


def _is_of_course(file: str, root: Path) -> bool:
    return any(Path(file).is_relative_to(root / folder) for folder in FOLDERS)


def _assertion_at(source: str, line: int) -> ast.Assert | None:
    """Return the innermost assertion that covers a line."""
    try:
        nodes = ast.walk(ast.parse(source))
    except SyntaxError:
        return None
    covering = [
        node for node in nodes if isinstance(node, ast.Assert) and node.lineno <= line <= (node.end_lineno or 0)
    ]
    return min(covering, key=lambda node: (node.end_lineno or 0) - node.lineno, default=None)


def _values(expression: ast.expr, known: dict[str, Any]) -> Iterator[str]:
    """Yield the names in an expression that stand for plain values, each with its value."""
    from grader.harness.compare.shown_call import part_text  # it imports torch, which the judge does later

    names = dict.fromkeys(node.id for node in ast.walk(expression) if isinstance(node, ast.Name))
    for name in names:
        value = known.get(name)
        if isinstance(value, SIMPLE):
            yield f"{name} = {part_text(value)}"
