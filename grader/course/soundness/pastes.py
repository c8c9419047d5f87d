"""What a student could copy: a public baseline that, pasted into the student's file, passes as an answer.

Every function of an exercise's public test file, and of the references that it imports, is tried in place of each symbol of the
exercise whose arguments it can take. Nobody has to write down which functions are baselines. Programs are left out: they call
the student's functions.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from grader.course.catalog import Chapter, Exercise
from grader.course.content.regions import parse
from grader.course.content.stubs import read_staff_file

_OF_A_TEST = frozenset({"launch", "run", "student", "device"})
"""Arguments that only a test has, which no student's function takes."""

_NO_BASELINE = ("test", "assert_")

_OF_THE_HARNESS = ("assignments", "grader", "pytest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Paste:
    """A submitted file in which one symbol is a function that stands in a public file of the chapter."""

    exercise: Exercise
    symbol: str
    function: str
    where: str
    """The function's file, relative to the course's root, and line."""

    source: str
    """The whole file, all other symbols as in the solution."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _PublicFile:
    where: str
    tree: ast.Module


def pastes(chapter: Chapter, exercise: Exercise) -> Iterator[Paste]:
    """Yield each file that a student could make by copying one public function over one symbol of an exercise."""
    where = f"solutions/{chapter.id}/{exercise.file}"
    solution = read_staff_file(chapter.solution / exercise.file, where)
    symbols = {node.name: node for node in parse(solution, where).body if isinstance(node, ast.FunctionDef)}
    files = _public_files(chapter, chapter.folder / f"test_{exercise.file}")
    copied = "\n".join(_copied(files))
    for file in files:
        for function in file.tree.body:
            if not isinstance(function, ast.FunctionDef) or function.name.startswith(_NO_BASELINE):
                continue
            for symbol in exercise.symbols:
                if symbol in symbols and (call := _call(symbols[symbol].args, function)):
                    yield Paste(
                        exercise=exercise,
                        symbol=symbol,
                        function=function.name,
                        where=f"{file.where}:{function.lineno}",
                        source=f"{solution}\n\n{copied}\n\n_pasted = {function.name}\n\n\n"
                        f"def {symbol}({ast.unparse(symbols[symbol].args)}):\n    return _pasted({call})\n",
                    )


def _public_files(chapter: Chapter, test_file: Path) -> list[_PublicFile]:
    """Return a test file and the chapter's files that it imports, at any depth, each after those that it imports."""
    found: dict[Path, _PublicFile] = {}

    def visit(path: Path) -> None:
        if path in found or not path.is_file():
            return
        where = f"assignments/{chapter.id}/{path.name}"
        tree = parse(read_staff_file(path, where), where)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"assignments.{chapter.id}"):
                modules = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
                for module in modules:
                    file = f"{module.rpartition('.')[2]}.py"
                    if not file.startswith("programs"):
                        visit(chapter.folder / file)
        found[path] = _PublicFile(where=where, tree=tree)

    visit(test_file)
    return list(found.values())


def _copied(files: list[_PublicFile]) -> Iterator[str]:
    """Yield the statements of public files that run where no harness is: its imports, tests and markers are left out."""
    for file in files:
        for node in file.tree.body:
            names = {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
            is_test = isinstance(node, ast.FunctionDef) and node.name.startswith("test")
            if not is_test and not _imports_harness(node) and not (isinstance(node, ast.Assign) and names & {"pytest"}):
                yield ast.unparse(node)


def _imports_harness(node: ast.stmt) -> bool:
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").startswith(_OF_THE_HARNESS)
    return isinstance(node, ast.Import) and any(alias.name.startswith(_OF_THE_HARNESS) for alias in node.names)


def _call(has: ast.arguments, function: ast.FunctionDef) -> str:
    """Return the arguments with which a function is called that stands for a symbol; empty if it cannot be.

    They go by name where the symbol has all the names that the function needs, otherwise by position.
    """
    given = [argument.arg for argument in (*has.posonlyargs, *has.args, *has.kwonlyargs)]
    takes = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    by_keyword = [argument.arg for argument in function.args.kwonlyargs]
    if not given or _OF_A_TEST & {*takes, *by_keyword}:
        return ""
    required = takes[: len(takes) - len(function.args.defaults)]
    required += [name for name, default in zip(by_keyword, function.args.kw_defaults, strict=True) if default is None]
    if required and set(required) <= set(given):
        return ", ".join(f"{name}={name}" for name in (*takes, *by_keyword) if name in given)
    fits = len(required) <= len(given) and (len(given) <= len(takes) or function.args.vararg is not None)
    return ", ".join(given) if fits and not set(required) & set(by_keyword) else ""
