"""The student repository: what is in it, what never is, and when nothing is written."""

from collections.abc import Callable
from pathlib import Path

import pytest

from course_env.errors import CatalogError, UsageError
from grader.course.catalog import Course, load_course
from grader.course.release.repository import CHAPTERS_GO_HERE, release, stale_stubs, write_stubs

Edit = Callable[[str, str, str], None]

STUB = "assignments/ch02_text/cipher.py"


def test_a_release_holds_exactly_what_students_get(course: Course, root: Path, tmp_path: Path) -> None:
    """A release holds stubs, READMEs, declarations, programs, public tests and the root's files; nothing of the staff side."""
    (root / "grader" / "deep").mkdir(parents=True)
    (root / "grader" / "deep" / "module.py").write_text("")
    (root / "out").mkdir()
    (root / "out" / "results.json").write_text("{}")
    (root / "assignments" / "ch02_text" / "notes.txt").write_text("For staff.")

    files = release(course, tmp_path / "student")

    assert files == (
        ".course/pristine/ch01_arithmetic/arithmetic.py",
        ".course/pristine/ch01_arithmetic/tally.py",
        ".course/pristine/ch02_text/cipher.py",
        "Makefile",
        "README.md",
        "assignments/ch01_arithmetic/README.md",
        "assignments/ch01_arithmetic/arithmetic.py",
        "assignments/ch01_arithmetic/assignment.toml",
        "assignments/ch01_arithmetic/programs.py",
        "assignments/ch01_arithmetic/tally.py",
        "assignments/ch01_arithmetic/test_arithmetic.py",
        "assignments/ch01_arithmetic/test_tally.py",
        "assignments/ch02_text/README.md",
        "assignments/ch02_text/assignment.toml",
        "assignments/ch02_text/cipher.py",
        "assignments/ch02_text/test_cipher.py",
        "grader/deep/module.py",
        "pyproject.toml",
    )
    written = (path for path in (tmp_path / "student").rglob("*") if path.is_file())
    assert sorted(str(path.relative_to(tmp_path / "student")) for path in written) == list(files)


def test_a_release_speaks_to_students(course: Course, root: Path, tmp_path: Path) -> None:
    """README and Makefile are the student's own, not those of the people who make the course."""
    (root / "Makefile").write_text("grade:\n\tstaff only\n")

    release(course, tmp_path / "student")

    assert "Large-scale model training: your copy" in (tmp_path / "student/README.md").read_text()
    assert "staff only" not in (tmp_path / "student/Makefile").read_text()


def test_the_students_readme_lists_every_chapter(course: Course, tmp_path: Path) -> None:
    """Title and link of each are those of the catalog, so nobody keeps that list by hand."""
    release(course, tmp_path / "student")

    text = (tmp_path / "student/README.md").read_text()
    listed = (
        "- 1 · [Arithmetic](assignments/ch01_arithmetic/README.md)\n- 2 · [Text](assignments/ch02_text/README.md)\n"
    )
    assert f"The chapters:\n\n{listed}\n" in text
    assert CHAPTERS_GO_HERE not in text


def test_a_release_is_a_whole_course(course: Course, tmp_path: Path) -> None:
    """The catalog reads it, and its student files are stubs, whatever stands in assignments/."""
    (course.root / STUB).write_text('"""The solution, by mistake."""\n')

    release(course, tmp_path / "student")

    assert load_course(tmp_path / "student").chapter("ch02").points == 1
    stub = (tmp_path / "student" / STUB).read_text()
    assert 'NotImplementedError("TODO(caesar)")' in stub
    assert (tmp_path / "student" / ".course/pristine/ch02_text/cipher.py").read_text() == stub


def test_a_lab_is_released_as_it_stands(course: Course, root: Path, tmp_path: Path) -> None:
    """A chapter's ungraded laboratory is part of what students get."""
    lab = "assignments/ch02_text/lab/compare.py"
    (root / lab).parent.mkdir()
    (root / lab).write_text("print('frequencies')\n")

    assert lab in release(course, tmp_path / "student")
    assert (tmp_path / "student" / lab).read_text() == "print('frequencies')\n"


def test_an_empty_folder_is_a_fine_destination(course: Course, tmp_path: Path) -> None:
    """A release goes to an empty folder that exists, and leaves no other file next to it."""
    (tmp_path / "student").mkdir()

    release(course, tmp_path / "student")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["course", "student"]


def test_a_destination_with_anything_in_it_is_refused(course: Course, tmp_path: Path) -> None:
    """An earlier release, or somebody's work, is never overwritten."""
    (tmp_path / "student").mkdir()
    (tmp_path / "student" / "work.py").write_text("mine")

    with pytest.raises(UsageError) as error:
        release(course, tmp_path / "student")

    assert str(error.value) == (
        f"{tmp_path / 'student'} exists and is not an empty folder. Name a new folder; nothing was written."
    )
    assert [path.name for path in (tmp_path / "student").iterdir()] == ["work.py"]


def test_a_release_that_leaks_is_not_written(course: Course, edit: Edit, tmp_path: Path) -> None:
    """The error lists each place, and the destination does not appear."""
    edit(
        "assignments/ch01_arithmetic/README.md",
        "Whole numbers",
        "`return number in primes_below(number + 1)` whole numbers",
    )

    with pytest.raises(CatalogError) as error:
        release(course, tmp_path / "student")

    assert str(error.value) == (
        "The release would show staff text in 1 places, so nothing was written:\n"
        "  assignments/ch01_arithmetic/README.md:3: shows line 42 of solutions/ch01_arithmetic/arithmetic.py: "
        "'`return number in primes_below(number + 1)` whole numbers, and how to count things on more than one rank.'. "
        "Take it out here, or move it out of its region."
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["course"]


def test_a_link_is_refused(course: Course, tmp_path: Path) -> None:
    """A link in a released folder could show the staff side."""
    (course.root / "assignments" / "ch02_text" / "test_x.py").symlink_to(
        course.root / "solutions" / "ch02_text" / "cipher.py"
    )

    with pytest.raises(CatalogError) as error:
        release(course, tmp_path / "student")

    assert str(error.value) == (
        "assignments/ch02_text/test_x.py is a link, which could show anything. Release files only: replace it."
    )


def test_a_stale_stub_is_named_with_its_first_line_that_differs(course: Course, edit: Edit) -> None:
    """A stub that differs from what its solution gives is named with the first line that differs."""
    edit(STUB, "Secret writing", "Hidden writing")

    (problem,) = stale_stubs(course.chapter("ch02"))

    assert str(problem) == (
        "assignments/ch02_text/cipher.py: differs from its solution's stub at line 1. "
        "Change solutions/ch02_text/cipher.py if the text is wrong, then run `grade release --stubs`."
    )


def test_a_missing_stub_is_stale(course: Course) -> None:
    """A stub that is not there counts as out of date."""
    (course.root / STUB).unlink()

    assert [problem.what for problem in stale_stubs(course.chapter("ch02"))] == ["is missing."]


def test_writing_stubs_renews_what_is_stale_and_touches_nothing_else(course: Course, edit: Edit) -> None:
    """Only files that differ are written."""
    edit(STUB, "Secret writing", "Hidden writing")

    assert write_stubs(course) == [course.root / STUB]
    assert write_stubs(course) == []
    assert not list(stale_stubs(course.chapter("ch02")))
