"""What is still the stub is found by reading, whatever its formatting is; in doubt an exercise counts as attempted."""

import pytest

from grader.course.catalog import Course
from grader.course.content.attempts import untouched
from grader.course.content.stubs import read_stub

BODY = '    raise NotImplementedError("TODO(gcd)")'


@pytest.fixture
def stub(course: Course) -> str:
    """Return the stub of a file with two exercises."""
    return read_stub(course.chapter("ch01"), "arithmetic.py")


def ids(course: Course, source: str) -> list[str]:
    """Return the ids of the exercises that are untouched in `source`."""
    return [exercise.id for exercise in untouched(source.encode(), course.chapter("ch01"), "arithmetic.py")]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", ""),
        ("\n", "\r\n"),
        ("    # TODO(gcd)", "    # I do not know yet. TODO(gcd)"),
        ('"""Divisors and primes."""', '"""Divisors and primes."""\nimport math\n\nHALF = 0.5'),
        ("def primes_below(limit", "def helper():\n    return 1\n\n\ndef primes_below(limit"),
    ],
)
def test_what_is_still_the_stub_is_untouched(course: Course, stub: str, old: str, new: str) -> None:
    """Comments, line ends, helpers and constants are no attempt."""
    assert old in stub

    assert ids(course, stub.replace(old, new)) == ["gcd", "sieve"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (BODY, "    return 1"),
        (BODY, f"    if a == 1:\n        return 1\n{BODY}"),
        ("def gcd(a: int, b: int)", "def gcd(b: int, a: int)"),
        ("def primes_below(", "gcd = max\n\n\ndef primes_below("),
        ("def primes_below(", "from math import gcd\n\n\ndef primes_below("),
    ],
)
def test_any_change_of_a_symbol_is_an_attempt_at_its_exercise(course: Course, stub: str, old: str, new: str) -> None:
    """A changed function is an attempt, and so is a second value for its name; the file's other exercise stays untouched."""
    assert old in stub

    assert ids(course, stub.replace(old, new, 1)) == ["sieve"]


@pytest.mark.parametrize(
    "line", ["globals().update(gcd=max)", "from math import *", "if True:\n    gcd = max", "def (:", "(" * 500, "\0"]
)
def test_in_doubt_all_is_attempted(course: Course, stub: str, line: str) -> None:
    """A file that may bind names in other ways, or that cannot be read, is for its tests to judge."""
    assert ids(course, f"{stub}\n\n{line}\n") == []


def test_a_file_of_great_depth_is_for_its_tests(course: Course, stub: str) -> None:
    """No file stops the command that reads it."""
    assert ids(course, f"{stub}\nX = {'-' * 20_000}1\n") == []
