"""The course as its `assignment.toml` files declare it; this module is the only one that reads them.

There is no central registry: a folder `assignments/chNN_name` with an `assignment.toml` is a chapter, and every other
path (solution, stub, mutants) is computed from it, never declared.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import combinations
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from course_env.errors import CatalogError, UsageError, did_you_mean

NEEDS = ("torch", "deepspeed", "gpu")

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exercise:
    """The smallest thing declared and scored."""

    id: str
    """Unique in the chapter; names the exercise on the command line, in tests and in TODO(<id>)."""

    title: str
    """One line, which the README repeats below the exercise's heading."""

    file: str
    """The student's file, by bare name; several exercises may share one."""

    symbols: tuple[str, ...]
    """Top-level functions and classes of `file` that the student fills in."""

    points: int
    """What a full score is worth."""

    source: str
    """Where the idea comes from; the same text as the `Source:` line of the first symbol's docstring."""

    hints: tuple[str, ...]
    """Each says more than the one before; the last leaves little to find."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """One folder of exercises, in the order of its README."""

    id: str
    """The folder's name, like `ch02_distributed_programming`."""

    folder: Path
    """The chapter's folder in `assignments/`."""

    title: str
    needs: tuple[str, ...]
    """What the machine must offer to grade the chapter: any of `NEEDS`."""

    timeout_s: float
    """Deadline of a launch that does not name one."""

    imports: tuple[str, ...]
    """What its files may have a use for besides torch, `course_env` and Python's modules for plain computing, like "os"."""

    exercises: tuple[Exercise, ...]

    @property
    def short(self) -> str:
        """The part of the id that people type, like `ch02`."""
        return self.id.partition("_")[0]

    @property
    def number(self) -> int:
        """The chapter's number, as in `Exercise 2.5`."""
        return int(self.short.removeprefix("ch"))

    @property
    def points(self) -> int:
        """The sum over the chapter's exercises."""
        return sum(exercise.points for exercise in self.exercises)

    @property
    def files(self) -> tuple[str, ...]:
        """The student's files, each once, in the order of the exercises."""
        return tuple(dict.fromkeys(exercise.file for exercise in self.exercises))

    @property
    def solution(self) -> Path:
        """The staff side's folder; a student's copy of the course has none."""
        return self.folder.parent.parent / "solutions" / self.id

    def exercise(self, name: str) -> Exercise:
        """Return the exercise with this id.

        Raises: UsageError, with the nearest id, if there is none.
        """
        for exercise in self.exercises:
            if exercise.id == name:
                return exercise
        known = [exercise.id for exercise in self.exercises]
        raise UsageError(f"Chapter {self.id} has no exercise '{name}'. {did_you_mean(name, known)}")

    def exercises_in(self, file: str) -> tuple[Exercise, ...]:
        """Return the exercises that are solved in `file`."""
        return tuple(exercise for exercise in self.exercises if exercise.file == file)


Selected = tuple[Chapter, Exercise]


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """Every chapter below one root, in the order of their numbers."""

    root: Path
    """The folder that holds `assignments/` and `pyproject.toml`."""

    chapters: tuple[Chapter, ...]

    def chapter(self, name: str) -> Chapter:
        """Return the chapter whose id is `name`, or the only one whose id starts with it.

        Raises: UsageError, with the nearest name, if there is none or more than one.
        """
        exact = [chapter for chapter in self.chapters if chapter.id == name]
        found = exact or [chapter for chapter in self.chapters if name and chapter.id.startswith(name)]
        if len(found) == 1:
            return found[0]
        # Somebody who types `ch20` wants to read `ch02`, not nine long folder names.
        known = [chapter.id if "_" in name else chapter.short for chapter in self.chapters]
        fault = f"is short for {len(found)} chapters" if found else "is no chapter of this course"
        raise UsageError(f"'{name}' {fault}. {did_you_mean(name, known)}")

    def select(self, names: Sequence[str]) -> tuple[Selected, ...]:
        """Return the exercises that `names` like `ch02` and `ch02/ring_shift` ask for, in the course's order; all, if there is no name.

        Raises: UsageError, with the nearest name, if a chapter or an exercise does not exist.
        """
        wanted = {pair for name in names for pair in self._expand(name)}
        return tuple(
            (chapter, exercise)
            for chapter in self.chapters
            for exercise in chapter.exercises
            if not names or (chapter.id, exercise.id) in wanted
        )

    def _expand(self, name: str) -> list[tuple[str, str]]:
        chapter_name, _, exercise_name = name.strip("/").partition("/")
        chapter = self.chapter(chapter_name)
        exercises = (chapter.exercise(exercise_name),) if exercise_name else chapter.exercises
        return [(chapter.id, exercise.id) for exercise in exercises]


def find_root(start: Path) -> Path:
    """Return the nearest folder at or above `start` that is a course: it holds `assignments/` and `pyproject.toml`.

    Raises: UsageError if there is none.
    """
    resolved = start.resolve()
    for folder in (resolved, *resolved.parents):
        if (folder / "assignments").is_dir() and (folder / "pyproject.toml").is_file():
            return folder
    raise UsageError(
        f"No course at or above {resolved}: a course's folder holds 'assignments/' and 'pyproject.toml'. "
        "Change to the folder of the course and try again."
    )


def load_course(root: Path) -> Course:
    """Return the course below `root`.

    Raises: CatalogError if a chapter's declaration is not valid, or two chapters have one number.
    """
    folders = sorted(path for path in (root / "assignments").glob("ch*") if path.is_dir())
    chapters = tuple(_read_chapter(root, folder) for folder in folders)
    for one, other in combinations(chapters, 2):
        if one.short == other.short:
            raise CatalogError(
                f"assignments/{other.id}: number {one.short} is taken by {one.id}. Rename one of the two."
            )
    return Course(root=root, chapters=chapters)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Declaration:
    """The keys of an assignment.toml; its exercises are converted one by one, so that an error can name them."""

    title: str
    needs: tuple[str, ...]
    timeout_s: float
    imports: tuple[str, ...]
    exercises: tuple[dict[str, Any], ...]


def _read_chapter(root: Path, folder: Path) -> Chapter:
    path = folder / "assignment.toml"
    where = str(path.relative_to(root))
    if not re.fullmatch(r"ch\d\d_[a-z0-9_]+", folder.name):
        raise CatalogError(f"assignments/{folder.name}: a chapter's folder is named like 'ch02_name'. Rename it.")
    declaration = _convert(_parse(path, where), _Declaration, where)
    exercises = tuple(_read_exercise(table, number, where) for number, table in enumerate(declaration.exercises, 1))
    _raise_first(where, _chapter_faults(declaration, exercises))
    return Chapter(
        id=folder.name,
        folder=folder,
        title=declaration.title,
        needs=declaration.needs,
        timeout_s=declaration.timeout_s,
        imports=declaration.imports,
        exercises=exercises,
    )


def _parse(path: Path, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CatalogError(
            f"{where} is missing. Every folder assignments/chNN_name declares its exercises there."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CatalogError(f"{where} is not valid TOML: {error}.") from None


def _read_exercise(table: dict[str, Any], number: int, where: str) -> Exercise:
    named = f"exercise '{table['id']}'" if "id" in table else f"exercise number {number}"
    exercise = _convert(table, Exercise, f"{where}: {named}")
    _raise_first(f"{where}: {named}", _exercise_faults(exercise))
    return exercise


def _convert(table: dict[str, Any], kind: type[T], where: str) -> T:
    """Return `table` as a `kind`, or say which key is unknown, missing, or of the wrong type."""
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]  # both callers pass dataclasses
    for key in table:
        if key not in known:
            raise CatalogError(f"{where}: unknown key '{key}'. {did_you_mean(key, known)}")
    for key in known:
        if key not in table:
            raise CatalogError(
                f"{where}: the key '{key}' is missing. Add it; all of these are needed: {', '.join(known)}."
            )
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        fault, _, place = str(error).replace("`", "").partition(" - at $.")
        raise CatalogError(f"{where}: the key '{place}' has the wrong type: {fault.lower()}.") from None


def _raise_first(where: str, faults: Iterable[tuple[bool, str]]) -> None:
    for is_broken, fault in faults:
        if is_broken:
            raise CatalogError(f"{where}: {fault}")


def _exercise_faults(exercise: Exercise) -> Iterator[tuple[bool, str]]:
    file = exercise.file
    yield (
        not re.fullmatch(r"[a-z][a-z0-9_]*", exercise.id),
        "the id must be lower-case letters, digits and underscores, because people type it.",
    )
    yield not exercise.title.strip(), "title is empty. Write one line."
    yield not exercise.source.strip(), "source is empty. Write one line."
    yield (
        not re.fullmatch(r"[A-Za-z_]\w*\.py", file),
        f"file is '{file}'. Give the bare name of a Python file in the chapter's folder, like 'ring.py'.",
    )
    yield (
        bool(re.fullmatch(r"conftest\.py|test_.*|(programs|references)(_.*)?\.py", file)),
        f"file is '{file}', a name that belongs to the course's own code. Choose another.",
    )
    yield not exercise.symbols, "symbols is empty. Name the functions and classes that the student fills in."
    for symbol in exercise.symbols:
        yield (
            not symbol.isidentifier(),
            f"'{symbol}' in symbols is no Python name. Name what {file} defines at top level.",
        )
    yield exercise.points <= 0, f"points is {exercise.points}. An exercise is worth at least 1 point."
    yield not exercise.hints, "hints is empty. Write at least one."


def _chapter_faults(declaration: _Declaration, exercises: tuple[Exercise, ...]) -> Iterator[tuple[bool, str]]:
    yield not declaration.title.strip(), "title is empty. Write one line."
    for need in declaration.needs:
        yield need not in NEEDS, f"needs holds '{need}', which no machine can offer. {did_you_mean(need, NEEDS)}"
    yield declaration.timeout_s <= 0, f"timeout_s is {declaration.timeout_s:g}. A launch needs more than 0 seconds."
    yield not exercises, "there is no exercise. Add an [[exercises]] table."
    for one, other in combinations(exercises, 2):
        yield one.id == other.id, f"two exercises have the id '{one.id}'. Rename one of the two."
        shared = sorted(set(one.symbols) & set(other.symbols)) if one.file == other.file else []
        claim = f"exercises '{one.id}' and '{other.id}' both claim"
        yield bool(shared), f"{claim} {', '.join(shared)} of {one.file}. One symbol belongs to one exercise."
