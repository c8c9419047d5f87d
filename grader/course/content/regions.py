"""The `### BEGIN SOLUTION` regions of a solution file, and the function or class around each: where students have gaps.

The markers are nbgrader's. `ast` finds the code around them, so a region can only hold whole statements.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from course_env.errors import CatalogError

BEGIN = "### BEGIN SOLUTION"
END = "### END SOLUTION"

# A misspelt pair of markers would give the solution to the student, so every line that is close to a marker must be one.
_ALMOST_A_MARKER = re.compile(r"\b(begin|end)[ _-]*solution\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """Lines that only staff may see, markers included."""

    begin: int
    """Line of the BEGIN marker, counted from 1."""

    end: int
    """Line of the END marker."""

    column: int
    """Indentation of the code inside."""

    symbol: str | None
    """The top-level function or class around it; None at column 0."""

    kind: Literal["gap", "private"]
    """Whether the student fills it: it stands in a function. Any other region is private to the solution."""


def find_regions(source: str, where: str) -> tuple[Region, ...]:
    """Return the regions of a solution file in their order.

    Raises: CatalogError, with the line, if markers are misspelt, unbalanced or nested, if a region is empty or cuts a
    statement in two, or if `source` is not valid Python.
    """
    tree = parse(source, where)
    spans = list(_marked_spans(source, where))
    statements = list(_statements(tree))
    return tuple(_read_region(begin, end, statements, where) for begin, end in spans)


def parse(source: str, where: str) -> ast.Module:
    """Return the syntax tree of a file that staff wrote.

    Raises: CatalogError, with the line, if it is not valid Python.
    """
    try:
        return ast.parse(source)
    except SyntaxError as error:
        raise CatalogError(f"{where}:{error.lineno}: not valid Python: {error.msg}.") from None


def _marked_spans(source: str, where: str) -> Iterator[tuple[int, int]]:
    begin: int | None = None
    for number, line in enumerate(source.splitlines(), 1):
        here = f"{where}:{number}"
        if line.strip() == BEGIN:
            if begin is not None:
                raise CatalogError(
                    f"{here}: '{BEGIN}' inside the region of line {begin}. Regions do not nest; end that one first."
                )
            begin = number
        elif line.strip() == END:
            if begin is None:
                raise CatalogError(f"{here}: '{END}' without a '{BEGIN}' above it. Add one, or delete this line.")
            yield begin, number
            begin = None
        elif _ALMOST_A_MARKER.search(line):
            raise CatalogError(f"{here}: {line.strip()!r} is no marker. Write '{BEGIN}' or '{END}', alone on its line.")
    if begin is not None:
        raise CatalogError(f"{where}:{begin}: the region has no '{END}'. Add it below the region's last line.")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Statement:
    node: ast.stmt
    first: int
    """Its first line, decorators included."""

    last: int
    around: tuple[ast.AST, ...]
    """The nodes around it, outermost first, without the module."""


def _statements(node: ast.AST, around: tuple[ast.AST, ...] = ()) -> Iterator[_Statement]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            decorators = getattr(child, "decorator_list", [])
            first = min([child.lineno, *(decorator.lineno for decorator in decorators)])
            yield _Statement(node=child, first=first, last=child.end_lineno or first, around=around)
        yield from _statements(child, (*around, child))


def _read_region(begin: int, end: int, statements: list[_Statement], where: str) -> Region:
    inside = [statement for statement in statements if begin < statement.first and statement.last < end]
    if not inside:
        raise CatalogError(
            f"{where}:{begin}: the region holds no statement. Move the markers round the student's part."
        )
    outermost = min(inside, key=lambda statement: len(statement.around))
    around = outermost.around
    for statement in statements:
        is_block_around = statement.node in around and statement.first < begin
        if not is_block_around and any(statement.first < marker < statement.last for marker in (begin, end)):
            raise CatalogError(
                f"{where}:{begin}: the region cuts the statement of line {statement.first} in two. "
                "Move the markers so that it is wholly inside or wholly outside."
            )
    return Region(
        begin=begin,
        end=end,
        column=outermost.node.col_offset,
        symbol=getattr(around[0], "name", None) if around else None,
        kind="gap" if any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in around) else "private",
    )
