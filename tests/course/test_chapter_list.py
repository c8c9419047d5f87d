"""The list of chapters in the README is compared with the catalog, line by line."""

from collections.abc import Callable
from pathlib import Path

from grader.course.catalog import Course, load_course
from grader.course.release.chapter_list import chapter_list, chapter_list_problems

Edit = Callable[[str, str, str], None]

ARITHMETIC = "- 1 · [Arithmetic](assignments/ch01_arithmetic/README.md)"
TEXT = "- 2 · [Text](assignments/ch02_text/README.md)"


def said(root: Path) -> list[str]:
    """Return what is wrong with the list, as printed."""
    return [str(problem) for problem in chapter_list_problems(load_course(root))]


def test_a_chapter_is_a_line_with_number_title_and_link(course: Course) -> None:
    """In the order of the numbers; the mini course's README has them all."""
    assert chapter_list(course) == [ARITHMETIC, TEXT]
    assert said(course.root) == []


def test_a_missing_chapter_is_told_as_the_line_to_write(root: Path, edit: Edit) -> None:
    """A new chapter is forgotten only until the next check."""
    edit("README.md", f"{TEXT}\n", "")

    assert said(root) == [f"README.md: does not list a chapter. Write this line: {TEXT}"]


def test_a_renamed_chapter_is_a_line_too_few_and_one_too_many(root: Path, edit: Edit) -> None:
    """The old line is named by its number."""
    edit("assignments/ch02_text/assignment.toml", 'title = "Text"', 'title = "Texts"')

    assert said(root) == [
        "README.md: does not list a chapter. Write this line: - 2 · [Texts](assignments/ch02_text/README.md)",
        f"README.md:6: lists '{TEXT}', which no chapter is called. Delete it, or write what assignment.toml says.",
    ]


def test_another_order_is_a_problem(root: Path, edit: Edit) -> None:
    """Both lines are right, and stand the wrong way round."""
    edit("README.md", f"{ARITHMETIC}\n{TEXT}", f"{TEXT}\n{ARITHMETIC}")

    assert said(root) == ["README.md:5: lists the chapters in another order. Sort them by their numbers."]


def test_without_a_readme_every_chapter_is_missing(root: Path) -> None:
    """It is no error of the reader's."""
    (root / "README.md").unlink()

    assert len(said(root)) == 2
