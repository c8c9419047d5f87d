"""The lab of chapter 3 runs as a student runs it, and prints the table that the lesson shows."""

import re

from tests.lessons.lab import run_lab
from tests.lessons.lesson import read_lesson

LESSON = read_lesson(3)
LAB = LESSON.folder / "lab" / "roofline.py"


def shape_of(table: str) -> list[str]:
    """Return the table's lines with all numbers and answers left out."""
    lines = [re.sub(r"\d+(\.\d+)?", "#", line) for line in table.splitlines()]
    return [re.sub(r" +", " ", re.sub(r"sending|computing", "word", line)).strip() for line in lines]


def test_the_lab_prints_the_table_of_the_lesson(tmp_path):
    """Both processes end in order, and the table has the lines and the columns that the lesson shows."""
    printed = run_lab(LAB, tmp_path, "--tokens", 64, "--repeats", 2, timeout_s=240)
    (shown,) = (block for block in LESSON.outputs if "operations per byte; 2048 tokens" in block)
    assert shape_of(printed) == shape_of(shown)


def test_the_lab_is_linked_and_its_widths_are_those_of_the_lesson():
    """The lesson links the lab, and shows one line for each of its widths."""
    assert "(lab/roofline.py)" in LESSON.text
    widths = re.search(r"^WIDTHS = \((.*)\)$", LAB.read_text(), re.MULTILINE)[1]
    LESSON.says("takes at {} widths", [{4: "four"}[len(widths.split(","))]])
