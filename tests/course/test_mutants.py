"""Mutants: reading their patches, and applying them wherever the copy lies."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from course_env.errors import CatalogError
from grader.course.catalog import Course
from grader.course.content.mutants import apply_mutant, read_mutant, read_mutants

Edit = Callable[[str, str, str], None]

NAME = "gcd-returns_the_rest"
PATCH = f"solutions/ch01_arithmetic/mutants/{NAME}.patch"


def test_a_patch_names_its_exercise_and_its_fault(course: Course) -> None:
    """A mutant has its exercise and fault from the header lines, and its name from the file."""
    mutants = {mutant.name: mutant for mutant in read_mutants(course.chapter("ch01"))}

    assert len(mutants) == 9
    assert mutants[NAME].exercise.id == "gcd"
    assert mutants[NAME].fault == "The last rest, which is always 0, is returned."
    assert mutants[NAME].added_lines == ("    return b",)


def test_every_mutant_of_the_mini_course_applies(course: Course) -> None:
    """Every patch of the mini course applies to its solution."""
    for chapter in course.chapters:
        for mutant in read_mutants(chapter):
            apply_mutant(mutant, chapter.solution)
            subprocess.run(
                ["git", "apply", "-R", "-p1", "-"], cwd=chapter.solution, input=mutant.diff, text=True, check=True
            )


@pytest.mark.parametrize("variable", ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"])
def test_an_outer_repository_and_its_variables_do_not_matter(
    course: Course, root: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """A patch changes the folder it is applied to, in a git hook as well."""
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    monkeypatch.setenv(variable, str(root / "elsewhere"))
    chapter = course.chapter("ch01")
    mutant = read_mutant(root / PATCH, chapter)

    apply_mutant(mutant, chapter.solution)

    assert "    return b\n" in (chapter.solution / "arithmetic.py").read_text()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("exercise: gcd", "excercise: gcd", ":1: the first line is 'excercise: gcd'. It must be 'exercise: <id>'."),
        ("exercise: gcd", "exercise: gdc", ":1: there is no exercise 'gdc'. Known: gcd, sieve, tally. Did you mean 'gcd'?"),
        ("exercise: gcd", "exercise: tally", ": the name must begin with its exercise. Rename it to 'tally-<what is wrong>.patch'."),
        ("The last rest, which is always 0, is returned.", "", ":2: there is no sentence. Say on the second line what is wrong with this answer."),
        ("+++ b/arithmetic.py", "+++ b/tally.py", ": the diff must change arithmetic.py alone, with the headers '--- a/arithmetic.py' and '+++ b/arithmetic.py'; its headers are ['--- a/arithmetic.py', '+++ b/tally.py']."),
        ("--- a/arithmetic.py\n+++ b/arithmetic.py\n", "", ": the diff must change arithmetic.py alone, with the headers '--- a/arithmetic.py' and '+++ b/arithmetic.py'; its headers are missing."),
    ],
)  # fmt: skip
def test_a_malformed_patch_is_refused(course: Course, edit: Edit, old: str, new: str, message: str) -> None:
    """The error about a malformed patch gives the file, the fault and what to do."""
    edit(PATCH, old, new)

    with pytest.raises(CatalogError) as error:
        read_mutant(course.root / PATCH, course.chapter("ch01"))

    assert str(error.value) == PATCH + message


def test_a_patch_that_no_longer_fits_is_refused(course: Course, root: Path, edit: Edit) -> None:
    """When the solution has changed, the error says to make the patch again, and git says where."""
    chapter = course.chapter("ch01")
    edit("solutions/ch01_arithmetic/arithmetic.py", "    return a\n", "    return abs(a)\n")

    with pytest.raises(CatalogError) as error:
        apply_mutant(read_mutant(root / PATCH, chapter), chapter.solution)

    assert str(error.value) == (
        f"{PATCH}: does not apply to solutions/ch01_arithmetic/arithmetic.py: patch failed: arithmetic.py:19. "
        "Make the patch again from the solution as it is now."
    )


def test_a_mutant_that_is_not_python_is_refused(course: Course, root: Path, edit: Edit) -> None:
    """A mutant that is not valid Python is refused, because any test would fail on it."""
    chapter = course.chapter("ch01")
    edit(PATCH, "+    return b", "+    return b)")

    with pytest.raises(CatalogError, match=r"makes arithmetic.py invalid Python at line 22: unmatched '\)'"):
        apply_mutant(read_mutant(root / PATCH, chapter), chapter.solution)
