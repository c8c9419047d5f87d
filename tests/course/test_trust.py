"""SECURITY.md says of each exercise what only the word of its ranks shows."""

import re
from pathlib import Path

from grader.course.catalog import load_course
from grader.course.content.mutants import read_mutants

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| `(ch\d\d/\w+)` \| .+ \|$", re.MULTILINE)


def test_each_exercise_that_trusts_its_ranks_is_listed() -> None:
    """The table has a row for each exercise with a mutant that is caught in the rank only, and no other row."""
    trusting = {
        f"{chapter.short}/{mutant.exercise.id}": None
        for chapter in load_course(ROOT).chapters
        for mutant in read_mutants(chapter)
        if mutant.forgeable
    }

    assert sorted(trusting) == sorted(ROW.findall((ROOT / "SECURITY.md").read_text()))
