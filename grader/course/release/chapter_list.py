"""The list of chapters in a README: generated from the catalog for students, and compared with it in our own.

It holds only titles and links. `course list` shows what an exercise is worth, as its assignment.toml says.
"""

import re
from collections.abc import Iterator

from grader.course.catalog import Chapter, Course
from grader.course.problem import Problem

README = "README.md"

_ENTRY = re.compile(r"- \d+ · \[.*\]\(assignments/.*\)")


def chapter_list(course: Course) -> list[str]:
    """Return one line for each chapter, in the course's order."""
    return [_entry(chapter) for chapter in course.chapters]


def chapter_list_problems(course: Course) -> Iterator[Problem]:
    """Yield what is wrong with the list in the course's own README: a missing chapter, an unknown one, or their order."""
    path = course.root / README
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    found = {line: number for number, line in enumerate(lines, 1) if _ENTRY.fullmatch(line)}
    expected = chapter_list(course)
    for line in expected:
        if line not in found:
            yield Problem(where=README, what="does not list a chapter.", todo=f"Write this line: {line}")
    for line, number in found.items():
        if line not in expected:
            todo = "Delete it, or write what assignment.toml says."
            yield Problem(where=f"{README}:{number}", what=f"lists '{line}', which no chapter is called.", todo=todo)
    known = [line for line in found if line in expected]
    if known != [line for line in expected if line in found]:
        where = f"{README}:{found[known[0]]}"
        yield Problem(where=where, what="lists the chapters in another order.", todo="Sort them by their numbers.")


def _entry(chapter: Chapter) -> str:
    return f"- {chapter.number} · [{chapter.title}](assignments/{chapter.id}/README.md)"
