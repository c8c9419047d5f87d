"""The rules of the course: what must agree in a chapter's files, checked without running any of them.

Each rule is one small function from a chapter to its problems; `RULES` lists them all.
"""

import ast
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import get_args

from course_env.errors import CatalogError, did_you_mean
from grader.course.catalog import Chapter, Exercise
from grader.course.content.graded_tests import HIDDEN, TestFunction, foreign_test_files, hidden_tests, public_tests
from grader.course.content.mutants import mutant_names, mutant_paths, read_mutant
from grader.course.content.regions import parse
from grader.course.content.stubs import read_staff_file
from grader.course.judging.report import Aspect
from grader.course.problem import Problem
from grader.course.release.repository import may_stand_in_assignments, stale_stubs
from grader.course.soundness.promise_rules import every_promise_has_a_test

MIN_MUTANTS = 3

_WHAT_RANKS_HAVE = "the standard library, course_env and the chapter's needs"

ASPECTS = get_args(Aspect)

Rule = Callable[[Chapter], Iterator[Problem]]


def broken_rules(chapter: Chapter) -> list[Problem]:
    """Return the problems of a chapter, each once, in the order of `RULES`."""
    return list(dict.fromkeys(problem for rule in RULES for problem in _problems(rule, chapter)))


def stubs_are_as_generated(chapter: Chapter) -> Iterator[Problem]:
    """Check that the committed stubs are what the solutions give."""
    yield from stale_stubs(chapter)


def assignments_hold_only_what_students_get(chapter: Chapter) -> Iterator[Problem]:
    """Check that no file stands in `assignments/` that the release would not ship."""
    for name in _files(chapter.folder):
        if not may_stand_in_assignments(chapter, name):
            yield Problem(
                where=f"assignments/{chapter.id}/{name}",
                what="is no file that a chapter has.",
                todo="Delete it, move it to solutions/, or declare it as the 'file' of an exercise.",
            )


def solutions_hold_only_what_staff_use(chapter: Chapter) -> Iterator[Problem]:
    """Check that no file stands in `solutions/` that no check would look at."""
    alternatives = [f"alternatives/*/{file}" for file in chapter.files]
    known = (*chapter.files, HIDDEN, "programs_hidden.py", "mutants/*.patch", "notebook/*", *alternatives)
    known += ("promises/*.toml", "told/*.md")
    for name in _files(chapter.solution):
        if not any(fnmatch(name, pattern) and name.count("/") == pattern.count("/") for pattern in known):
            yield Problem(
                where=f"solutions/{chapter.id}/{name}",
                what="is neither a declared file, a hidden test, a mutant, an alternative nor a table of promises.",
                todo="Delete it, rename it, or declare it as the 'file' of an exercise.",
            )


def solutions_stand_alone(chapter: Chapter) -> Iterator[Problem]:
    """Check that student files import the standard library, course_env and the chapter's needs, and never each other.

    Otherwise the tests of a file's own exercises could not grade it, or judge its mutants, alone.
    """
    for path in [chapter.solution / file for file in chapter.files]:
        for where, module in _foreign_imports(path, chapter):
            todo = f"A student's file stands alone: it imports {_WHAT_RANKS_HAVE}."
            yield Problem(where=where, what=f"imports '{module}'.", todo=todo)


def programs_stand_alone(chapter: Chapter) -> Iterator[Problem]:
    """Check that rank programs, too, import only what a rank has: no other file of the chapter is sent with them."""
    for path in [*sorted(chapter.folder.glob("programs*.py")), *sorted(chapter.solution.glob("programs*.py"))]:
        for where, module in _foreign_imports(path, chapter):
            todo = f"Ranks get this file alone: it imports {_WHAT_RANKS_HAVE}."
            yield Problem(where=where, what=f"imports '{module}'.", todo=todo)


def no_test_file_is_a_library(chapter: Chapter) -> Iterator[Problem]:
    """Check that no file of the chapter imports a test file: what tests share stands in references."""
    for path in [*sorted(chapter.folder.glob("*.py")), *sorted(chapter.solution.glob("*.py"))]:
        where = _where(path, chapter)
        for line, module, names in _imports_of(path, where):
            # `from chapter import test_x` imports a module, too.
            modules = [name for name in (module, *(f"{module}.{name}" for name in names)) if _is_test_file(name)]
            if modules:
                home = f"assignments/{chapter.id}/references.py"
                todo = f"Move what both need to {home}, or to a references_<file>.py there."
                yield Problem(where=f"{where}:{line}", what=f"imports the test file '{modules[0]}'.", todo=todo)


def every_exercise_is_tested(chapter: Chapter) -> Iterator[Problem]:
    """Check that each exercise has a public test, a hidden test and enough mutants."""
    public = [test.exercise for test in public_tests(chapter)]
    hidden = [test.exercise for test in hidden_tests(chapter)]
    for exercise in chapter.exercises:
        where = f"assignments/{chapter.id}/assignment.toml"
        if exercise.id not in public:
            todo = f"Write one in assignments/{chapter.id}/test_{exercise.file}."
            yield Problem(where=where, what=f"exercise '{exercise.id}' has no public test.", todo=todo)
        if exercise.id not in hidden:
            todo = f"Write one in solutions/{chapter.id}/{HIDDEN.replace('*', Path(exercise.file).stem)}."
            yield Problem(where=where, what=f"exercise '{exercise.id}' has no hidden test.", todo=todo)
        count = len(mutant_names(chapter, exercise))
        if count < MIN_MUTANTS:
            todo = (
                f"Add solutions/{chapter.id}/mutants/{exercise.id}-<what is wrong>.patch until there are {MIN_MUTANTS}."
            )
            yield Problem(where=where, what=f"exercise '{exercise.id}' has {count} mutants.", todo=todo)


def every_test_file_belongs_to_a_student_file(chapter: Chapter) -> Iterator[Problem]:
    """Check that no test is left out because its file is named after no student file."""
    for path in foreign_test_files(chapter):
        if (path.parent == chapter.solution) != fnmatch(path.name, HIDDEN):
            continue  # is unexpected there by another rule
        names = " or ".join(f"test_{file}" for file in chapter.files)
        todo = f"Name it {names}, in solutions/ with _hidden, or delete it."
        yield Problem(
            where=_where(path, chapter), what="is named after no student file, so nothing is graded with it.", todo=todo
        )


def every_test_says_what_it_grades(chapter: Chapter) -> Iterator[Problem]:
    """Check that each graded test makes a claim, and names an exercise and an aspect."""
    for test in [*public_tests(chapter), *hidden_tests(chapter)]:
        yield from _faults_of(test, chapter)


def mutants_are_well_formed(chapter: Chapter) -> Iterator[Problem]:
    """Check that each patch names its exercise and its fault, and changes that exercise's file alone."""
    for path in mutant_paths(chapter):
        try:
            read_mutant(path, chapter)
        except CatalogError as error:
            yield _from_error(error)


def readme_has_every_exercise(chapter: Chapter) -> Iterator[Problem]:
    """Check that the README has a heading with number, id and points for each exercise, its title below, and no more."""
    where = f"assignments/{chapter.id}/README.md"
    lines = [line.strip() for line in read_staff_file(chapter.folder / "README.md", where).splitlines()]
    expected = {_heading(chapter, exercise): exercise for exercise in chapter.exercises}
    for number, line in enumerate(lines, 1):
        if line.startswith("### Exercise") and line not in expected:
            todo = f"The exercises of assignment.toml have these: {'; '.join(expected)}."
            yield Problem(where=f"{where}:{number}", what=f"the heading {line!r} is no exercise's.", todo=todo)
    for heading, exercise in expected.items():
        if lines.count(heading) != 1:
            what = f"has {lines.count(heading)} headings '{heading}'."
            yield Problem(where=where, what=what, todo="Write it once, with the points of assignment.toml.")
            continue
        at = lines.index(heading)
        below = next((line for line in lines[at + 1 :] if line), "")
        if below.strip("*_. ") != exercise.title.strip(". "):
            what = f"below its heading, '{exercise.id}' is called {below!r}."
            yield Problem(
                where=f"{where}:{at + 1}",
                what=what,
                todo=f"assignment.toml calls it '{exercise.title}'; write that line.",
            )


def docstrings_are_the_contract(chapter: Chapter) -> Iterator[Problem]:
    """Check that each symbol has a docstring, and that of an exercise's first symbol names the source as the toml does."""
    for exercise in chapter.exercises:
        where = f"solutions/{chapter.id}/{exercise.file}"
        defined = _definitions(parse(read_staff_file(chapter.solution / exercise.file, where), where))
        docstrings = {symbol: ast.get_docstring(defined[symbol]) for symbol in exercise.symbols if symbol in defined}
        for symbol, docstring in docstrings.items():
            if not docstring:
                todo = "Write the exact contract: it is all that the student gets."
                yield Problem(
                    where=f"{where}:{defined[symbol].lineno}", what=f"'{symbol}' has no docstring.", todo=todo
                )
        first = docstrings.get(exercise.symbols[0])
        if first and _source_of(first) != _plain(exercise.source):
            yield Problem(
                where=f"{where}:{defined[exercise.symbols[0]].lineno}",
                what=f"the docstring of '{exercise.symbols[0]}' gives the source as '{_source_of(first)}'.",
                todo=f"assignment.toml says '{exercise.source}'; make the two agree.",
            )


RULES: tuple[Rule, ...] = (
    stubs_are_as_generated,
    assignments_hold_only_what_students_get,
    solutions_hold_only_what_staff_use,
    solutions_stand_alone,
    programs_stand_alone,
    no_test_file_is_a_library,
    every_exercise_is_tested,
    every_test_file_belongs_to_a_student_file,
    every_test_says_what_it_grades,
    mutants_are_well_formed,
    readme_has_every_exercise,
    docstrings_are_the_contract,
    every_promise_has_a_test,
)


def _problems(rule: Rule, chapter: Chapter) -> list[Problem]:
    """Return what `rule` finds; what it cannot read is a problem too, and ends that rule alone."""
    found = []
    try:
        for problem in rule(chapter):
            found.append(problem)  # noqa: PERF402  # kept one by one, so that an error loses none
    except CatalogError as error:
        found.append(_from_error(error))
    return found


def _from_error(error: CatalogError) -> Problem:
    """Return the problem in an error of the course's own readers, whose messages begin with the file."""
    where, _, what = str(error).partition(": ")
    return Problem(where=where, what=what, todo="")


def _files(folder: Path) -> list[str]:
    paths = sorted(path for path in folder.rglob("*") if not path.is_dir())
    return [name for path in paths if "__pycache__" not in (name := path.relative_to(folder).as_posix())]


def _where(path: Path, chapter: Chapter) -> str:
    return path.relative_to(chapter.folder.parent.parent).as_posix()


def _imports_of(path: Path, where: str) -> Iterator[tuple[int, str, list[str]]]:
    """Yield line and dotted name of each module that a file imports, and the names that it takes from it."""
    for node in ast.walk(parse(read_staff_file(path, where), where)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, []
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or ""), [alias.name for alias in node.names]


def _foreign_imports(path: Path, chapter: Chapter) -> Iterator[tuple[str, str]]:
    """Yield where a file imports a module that no rank has, and the module: a rank gets one student file and one of programs."""
    own = {Path(file).stem for file in chapter.files}
    allowed = {*sys.stdlib_module_names, "course_env", *chapter.needs} - {"gpu"} - own
    where = _where(path, chapter)
    for line, module, _ in _imports_of(path, where):
        if module.split(".")[0] not in allowed:
            yield f"{where}:{line}", module


def _is_test_file(module: str) -> bool:
    return module.rpartition(".")[2].startswith("test_")


def _faults_of(test: TestFunction, chapter: Chapter) -> Iterator[Problem]:
    known = [exercise.id for exercise in chapter.exercises]
    marker = '@exercise("<id>", aspect="<aspect>")'
    if not test.claim:
        yield Problem(
            where=test.where,
            what=f"{test.name} has no docstring.",
            todo="Write the claim that it tests, as one sentence.",
        )
    if test.exercise is None:
        yield Problem(
            where=test.where, what=f"{test.name} names no exercise.", todo=f"Put {marker} above it, as plain strings."
        )
    elif test.exercise not in known:
        what = f"{test.name} is for the exercise '{test.exercise}', which does not exist."
        yield Problem(where=test.where, what=what, todo=did_you_mean(test.exercise, known))
    elif test.aspect not in ASPECTS:
        what = f"{test.name} has the aspect '{test.aspect}'." if test.aspect else f"{test.name} names no aspect."
        yield Problem(where=test.where, what=what, todo=f"Write aspect= with one of: {', '.join(ASPECTS)}.")


def _heading(chapter: Chapter, exercise: Exercise) -> str:
    number = f"{chapter.number}.{chapter.exercises.index(exercise) + 1}"
    unit = "point" if exercise.points == 1 else "points"
    return f"### Exercise {number} · `{exercise.id}` ({exercise.points} {unit})"


def _definitions(tree: ast.Module) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return {node.name: node for node in tree.body if isinstance(node, kinds)}


def _source_of(docstring: str) -> str:
    """Return the text after `Source:`, up to a blank line or the next label; empty without one."""
    found = re.search(
        r"^Source:(.*?)(?=\n\s*\n|\n\s*[A-Z]\w*:|\Z)", inspect.cleandoc(docstring), re.DOTALL | re.MULTILINE
    )
    return _plain(found[1]) if found else ""


def _plain(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
