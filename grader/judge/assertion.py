"""Where a test ended, as it stands in the test: the claim of a plain assertion, the line that could not go on.

pytest shows the values that an assertion compared. "assert 6 <= (2 * 2)" is of little use to whoever does not know of what.
"""

import ast
import linecache
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType, MappingProxyType, TracebackType
from typing import Any, NamedTuple

from grader.harness.mistake import Mistake

FOLDERS = ("assignments", "solutions")
SUBJECTS: Mapping[str, Mistake] = MappingProxyType(
    {
        "comm": Mistake.COMMUNICATION,
        "error_types": Mistake.ERRORS,
        "max_rss_kb": Mistake.MEMORY,
    }
)
"""What an assertion is about, by a name in it."""

SIMPLE = (bool, int, float, str, list, tuple, dict)


class Claim(NamedTuple):
    """What an assertion of a test claims."""

    sentence: str
    """"This does not hold: comm.rounds() <= 2 * hops (hops = 2)."; empty if the assertion has a message of its own."""

    mistake: Mistake
    """The kind of mistake, by what the assertion looks at."""


def claim_of(error: AssertionError, root: Path) -> Claim | None:
    """Return what the assertion that raised `error` claims, None if no file of the course asserts it.

    root: the course's folder
    """
    frame, line = _last(error.__traceback__)
    if frame is None or not _is_of_course(frame.f_code.co_filename, root):
        return None
    asserted = _assertion_at("".join(linecache.getlines(frame.f_code.co_filename)), line)
    if asserted is None:
        return None
    values = ", ".join(_values(asserted.test, frame.f_locals))
    sentence = f"This does not hold: {ast.unparse(asserted.test)}" + (f" ({values})." if values else ".")
    return Claim("" if asserted.msg is not None else sentence, _kind(asserted.test))


def _kind(expression: ast.expr) -> Mistake:
    nodes = list(ast.walk(expression))
    words = {node.id for node in nodes if isinstance(node, ast.Name)}
    words |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return next((mistake for word, mistake in SUBJECTS.items() if word in words), Mistake.CHECK)


def place_of(error: BaseException, root: Path) -> str | None:
    """Return the innermost line of the course's files at which `error` came up, as it stands there; None if there is none."""
    traceback, found = error.__traceback__, None
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if _is_of_course(file, root):
            found = linecache.getline(file, traceback.tb_lineno).strip()
        traceback = traceback.tb_next
    return found


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
