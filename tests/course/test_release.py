"""The student repository: what is in it, what never is, and when nothing is written."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from course_env.errors import CatalogError, UsageError
from grader.course.catalog import Course, load_course
from grader.course.release.repository import (
    CHAPTERS_GO_HERE,
    release,
    stale_stubs,
    undeclared_problems,
    write_stubs,
)

Edit = Callable[[str, str, str], None]

STUB = "assignments/ch02_text/cipher.py"


def test_a_release_holds_exactly_what_students_get(course: Course, root: Path, tmp_path: Path) -> None:
    """A release holds stubs, READMEs, declarations, programs, public tests and the root's files; nothing of the staff side."""
    (root / "grader" / "deep").mkdir(parents=True)
    (root / "grader" / "deep" / "module.py").write_text("")
    (root / "out").mkdir()
    (root / "out" / "results.json").write_text("{}")

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


@pytest.mark.parametrize(
    "name",
    [
        "assignments/ch01_arithmetic/test_tally_hidden (1).py",
        "assignments/ch01_arithmetic/test_tally (copy).py",
        "assignments/ch01_arithmetic/test_tally_hidden_old.py",
        "assignments/ch01_arithmetic/_hidden_old.py",
        "assignments/ch01_arithmetic/tally_solution.py",
        "assignments/ch01_arithmetic/tally.py~",
        "assignments/ch01_arithmetic/.tally.py.swp",
        "assignments/ch01_arithmetic/tally.py.orig",
        "assignments/ch01_arithmetic/tally.py.rej",
        "assignments/ch01_arithmetic/fault.patch",
        "assignments/ch01_arithmetic/lab/hidden_answers.py",
        "assignments/ch02_text/notes.txt",
        "docs/draft.md",
        "docs/decisions/ideas.md",
        "grader/test_tally_hidden.py",
        "course_env/tally.py.bak",
    ],
)
def test_a_file_that_nothing_declares_is_refused(course: Course, root: Path, tmp_path: Path, name: str) -> None:
    """Copies of hidden tests, drafts and what editors leave stop a release, which names them; `--check` does, too."""
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text("")

    with pytest.raises(CatalogError) as error:
        release(course, tmp_path / "student")

    assert f"\n  {name}: is not declared.\n" in str(error.value)
    assert [name] == [problem.where for problem in undeclared_problems(course)]
    assert not (tmp_path / "student").exists()


def test_all_that_is_not_declared_is_named_at_once(course: Course, root: Path, tmp_path: Path) -> None:
    """One error has the whole list, and what Python leaves beside its sources does not count."""
    for name in ("notes.txt", "draft.md", "__pycache__/cipher.cpython-311.pyc"):
        path = root / "assignments/ch02_text" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("")

    with pytest.raises(CatalogError, match="2 files in folders that are released are not declared"):
        release(course, tmp_path / "student")


def test_a_file_that_git_does_not_know_is_refused(course: Course, root: Path, tmp_path: Path) -> None:
    """In a repository, a file with a fine name that nobody has added is no part of the course."""
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    subprocess.run(["git", "add", "."], cwd=root, check=True)
    (root / "assignments/ch02_text/test_more.py").write_text("")

    with pytest.raises(CatalogError, match=r"assignments/ch02_text/test_more\.py: is not in git\."):
        release(course, tmp_path / "student")
