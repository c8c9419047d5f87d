"""Mutants: known-wrong answers, kept as patches against a solution. The tests of their exercise must fail on them.

A patch file opens with two lines, `exercise: <id>` and one sentence that says what is wrong; then comes a unified diff.
Between them there may be the line `IN_THE_RANK`: nothing but what its ranks say of themselves catches this mutant.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from course_env.errors import CatalogError, did_you_mean
from grader.course.catalog import Chapter, Exercise
from grader.course.content.stubs import read_staff_file

IN_THE_RANK = "caught: in the rank only"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One known-wrong answer to one exercise."""

    name: str
    """The patch's file name without its ending."""

    where: str
    """The patch file, relative to the course's root."""

    exercise: Exercise
    """The exercise whose tests must fail on it."""

    fault: str
    """The sentence that says what is wrong with the answer."""

    diff: str
    """A unified diff that changes the exercise's file and no other."""

    forgeable: bool = False
    """Whether its patch says that only what its ranks record or observe catches it, which code in them can forge."""

    @property
    def added_lines(self) -> tuple[str, ...]:
        """The lines that the patch puts into the solution."""
        return tuple(
            line[1:] for line in self.diff.splitlines() if line.startswith("+") and not line.startswith("+++ ")
        )


def mutant_paths(chapter: Chapter) -> list[Path]:
    """Return the patch files of a chapter, sorted."""
    return sorted((chapter.solution / "mutants").glob("*.patch"))


def mutant_names(chapter: Chapter, exercise: Exercise) -> list[str]:
    """Return the names of an exercise's mutants, which open with its id."""
    return [path.stem for path in mutant_paths(chapter) if path.stem.startswith(f"{exercise.id}-")]


def read_mutants(chapter: Chapter) -> list[Mutant]:
    """Return every mutant of a chapter.

    Raises: CatalogError if one of them is malformed.
    """
    return [read_mutant(path, chapter) for path in mutant_paths(chapter)]


def read_mutant(path: Path, chapter: Chapter) -> Mutant:
    """Return the mutant that a patch file holds.

    Raises: CatalogError if its header is malformed, or if it changes any file but its exercise's.
    """
    where = f"solutions/{chapter.id}/mutants/{path.name}"
    head, fault, diff = [*read_staff_file(path, where).split("\n", 2), "", ""][:3]
    key, _, name = head.partition(":")
    if key != "exercise":
        raise CatalogError(f"{where}:1: the first line is {head!r}. It must be 'exercise: <id>'.")
    exercise = {exercise.id: exercise for exercise in chapter.exercises}.get(name.strip())
    if exercise is None:
        known = [exercise.id for exercise in chapter.exercises]
        raise CatalogError(f"{where}:1: there is no exercise '{name.strip()}'. {did_you_mean(name.strip(), known)}")
    if not path.stem.startswith(f"{exercise.id}-"):
        raise CatalogError(
            f"{where}: the name must begin with its exercise. Rename it to '{exercise.id}-<what is wrong>.patch'."
        )
    if not fault.strip() or fault.startswith(("---", "diff ")):
        raise CatalogError(f"{where}:2: there is no sentence. Say on the second line what is wrong with this answer.")
    _check_files(diff, exercise, where)
    forgeable = diff.startswith(f"{IN_THE_RANK}\n")
    return Mutant(name=path.stem, where=where, exercise=exercise, fault=fault.strip(), forgeable=forgeable, diff=diff)


def apply_mutant(mutant: Mutant, folder: Path) -> None:
    """Change the copy of the chapter's solution in `folder` into the mutant.

    Raises: CatalogError if the patch does not apply, or its result is not valid Python.
    """
    # An outer repository, its configuration and its GIT_* variables (set in hooks) must not redirect the paths.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    environment |= {"GIT_CEILING_DIRECTORIES": str(folder.resolve().parent), "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}
    environment |= {"GIT_CONFIG_GLOBAL": os.devnull}
    done = subprocess.run(
        ["git", "apply", "-p1", "--whitespace=nowarn", "-"],
        cwd=folder,
        env=environment,
        input=mutant.diff.encode(),
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip().splitlines()[0].removeprefix("error: ")
        raise CatalogError(
            f"{mutant.where}: does not apply to {Path(mutant.where).parent.parent / mutant.exercise.file}: {reason}. "
            "Make the patch again from the solution as it is now."
        )
    _check_compiles(mutant, folder / mutant.exercise.file)


def _check_files(diff: str, exercise: Exercise, where: str) -> None:
    """Raise unless the diff changes the exercise's file and no other."""
    lines = [line.split("\t")[0].rstrip() for line in diff.splitlines()]
    expected = [f"--- a/{exercise.file}", f"+++ b/{exercise.file}"]
    found = [line for line in lines if line.startswith(("--- ", "+++ "))]
    if found != expected:
        raise CatalogError(
            f"{where}: the diff must change {exercise.file} alone, with the headers '{expected[0]}' and '{expected[1]}'; "
            f"its headers are {found or 'missing'}."
        )


def _check_compiles(mutant: Mutant, path: Path) -> None:
    """Raise if the mutant is not valid Python: any test would fail on it, so it would prove nothing."""
    try:
        compile(path.read_bytes(), path.name, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise CatalogError(
            f"{mutant.where}: makes {path.name} invalid Python at line {error.lineno}: {error.msg}. "
            "A mutant must be an answer that runs and is wrong."
        ) from None
