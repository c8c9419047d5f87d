"""The list of chapters in the README is compared with the catalog, line by line."""

from collections.abc import Callable
from pathlib import Path

from grader.course.catalog import Course, load_course
from grader.course.release.chapter_list import chapter_list, chapter_list_problems

Edit = Callable[[str, str, str], None]

ARITHMETIC = "- 1 · [Arithmetic](assignments/ch01_arithmetic/README.md)"
TEXT = "- 2 · [Text](assignments/ch02_text/README.md)"


def problems_of(root: Path) -> list[str]:
    """Return the problems of the list, as printed."""
    return [str(problem) for problem in chapter_list_problems(load_course(root))]


def test_a_chapter_is_a_line_with_number_title_and_link(course: Course) -> None:
    """A chapter's line has number, title and link, in the order of the numbers; the mini course's README has them all."""
    assert chapter_list(course) == [ARITHMETIC, TEXT]
    assert problems_of(course.root) == []


def test_a_missing_chapter_is_named_with_the_line_to_write(root: Path, edit: Edit) -> None:
    """A chapter that the README does not list is a problem that says which line to write."""
    edit("README.md", f"{TEXT}\n", "")

    assert problems_of(root) == [f"README.md: does not list a chapter. Write this line: {TEXT}"]


def test_a_renamed_chapter_is_a_line_too_few_and_one_too_many(root: Path, edit: Edit) -> None:
    """A renamed chapter is two problems: its new line is missing, and its old line is unknown."""
    edit("assignments/ch02_text/assignment.toml", 'title = "Text"', 'title = "Texts"')

    assert problems_of(root) == [
        "README.md: does not list a chapter. Write this line: - 2 · [Texts](assignments/ch02_text/README.md)",
        f"README.md:6: lists '{TEXT}', which no chapter is called. Delete it, or write what assignment.toml says.",
    ]


def test_another_order_is_a_problem(root: Path, edit: Edit) -> None:
    """Lines that are right but in another order are a problem."""
    edit("README.md", f"{ARITHMETIC}\n{TEXT}", f"{TEXT}\n{ARITHMETIC}")

    assert problems_of(root) == ["README.md:5: lists the chapters in another order. Sort them by their numbers."]


def test_without_a_readme_every_chapter_is_missing(root: Path) -> None:
    """Without a README each chapter is a problem, and no error is raised."""
    (root / "README.md").unlink()

    assert len(problems_of(root)) == 2
