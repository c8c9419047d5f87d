"""The student's files, generated from the solutions: the code between the markers becomes a TODO or is removed.

A stub carries no "generated" line, because the student edits it; a check compares it with what is generated here.
"""

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

from course_env.errors import CatalogError, did_you_mean
from grader.course.catalog import Chapter, Exercise
from grader.course.content.regions import Region, find_regions, parse


def chapter_stubs(chapter: Chapter) -> dict[str, str]:
    """Return the text of every student file of a chapter, by file name.

    Raises: CatalogError if a solution is missing, or no stub can be made of it.
    """
    return {file: read_stub(chapter, file) for file in chapter.files}


def generate_stub(source: str, exercises: Sequence[Exercise], *, where: str) -> str:
    """Return the stub of the solution `source`, in which every gap raises NotImplementedError("TODO(<exercise>)").

    A region in a function becomes a gap. A region at column 0, or in a class outside its methods, is removed.
    Raises: CatalogError, with the line, if regions and the symbols of `exercises` do not cover each other.
    """
    regions = find_regions(source, where)
    exercise_of = {symbol: exercise.id for exercise in exercises for symbol in exercise.symbols}
    _check_cover(source, regions, exercise_of, where)
    stub = "\n".join(_stub_lines(source.splitlines(), regions, exercise_of)).strip("\n") + "\n"
    try:
        compile(stub, where, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise CatalogError(
            f"{where}: without its regions the file is not valid Python: {error.msg}, at {error.text!r}. "
            "A block needs at least one statement outside every region."
        ) from None
    return stub


def read_stub(chapter: Chapter, file: str) -> str:
    """Return the text of one student file as it was given out.

    Raises: CatalogError if its solution is missing, or no stub can be made of it.
    """
    where = f"solutions/{chapter.id}/{file}"
    return generate_stub(read_staff_file(chapter.solution / file, where), chapter.exercises_in(file), where=where)


def read_staff_file(path: Path, where: str) -> str:
    """Return the text of a file that a chapter must have.

    Raises: CatalogError if the chapter lacks it, or it is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise CatalogError(f"{where}: the file is missing. Write it, or fix the name in assignment.toml.") from None
    except UnicodeDecodeError as error:
        raise CatalogError(f"{where}: not UTF-8: {error.reason} at byte {error.start}. Save it as UTF-8.") from None


def _check_cover(source: str, regions: Sequence[Region], exercise_of: dict[str, str], where: str) -> None:
    """Raise unless every region belongs to a declared symbol and every declared symbol has a gap."""
    defined = {
        node.name: node.lineno
        for node in parse(source, where).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    for region in regions:
        if region.symbol not in exercise_of and (region.kind == "gap" or region.symbol is not None):
            place = f"'{region.symbol}'" if region.symbol else "a block that is no top-level function or class"
            raise CatalogError(
                f"{where}:{region.begin}: the region stands in {place}, which no exercise declares. "
                f"{did_you_mean(region.symbol or '', exercise_of)}"
            )
    for symbol, exercise in exercise_of.items():
        if symbol not in defined:
            raise CatalogError(
                f"{where}: '{symbol}' of exercise '{exercise}' is not defined. {did_you_mean(symbol, defined)}"
            )
        if not any(region.symbol == symbol and region.kind == "gap" for region in regions):
            raise CatalogError(
                f"{where}:{defined[symbol]}: '{symbol}' of exercise '{exercise}' has no gap. "
                "Put '### BEGIN SOLUTION' and '### END SOLUTION' round the part that the student writes."
            )


def _stub_lines(lines: Sequence[str], regions: Sequence[Region], exercise_of: dict[str, str]) -> Iterator[str]:
    """Yield the lines outside regions, and a TODO for each gap."""
    done = 0
    for region in regions:
        before = lines[done : region.begin - 1]
        done = region.end
        if region.symbol is not None and region.kind == "gap":
            yield from before
            yield from _gap(exercise_of[region.symbol], " " * region.column)
            continue
        # A removed region leaves the largest of the gaps above, below and at its own end, not their sum: the formatter
        # puts the blank lines that belong before a class in front of the marker.
        text_before = list(before)
        above = max(_pop_blank(text_before), _pop_blank(list(lines[region.begin : region.end - 1])))
        below = 0
        while done < len(lines) and not lines[done].strip():
            done += 1
            below += 1
        yield from text_before
        yield from [""] * max(above, below)
    yield from lines[done:]


def _pop_blank(lines: list[str]) -> int:
    """Remove the blank lines at the end of `lines` and return how many there were."""
    count = 0
    while lines and not lines[-1].strip():
        lines.pop()
        count += 1
    return count


def _gap(exercise: str, indent: str) -> Iterator[str]:
    yield f"{indent}# TODO({exercise}): write this part, and delete the line below."
    yield f'{indent}raise NotImplementedError("TODO({exercise})")'
