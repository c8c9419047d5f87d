"""The leak scan: what it sees, wherever it hides, and what it leaves alone."""

import json
from pathlib import Path

import pytest

from grader.course.catalog import Course
from grader.course.release.leaks import is_telling, leaks
from grader.course.release.repository import release

LINE = "return number in primes_below(number + 1)"
SIEVE = """\
    is_left = [number >= 2 for number in range(limit)]
    for number in range(2, limit):
        if is_left[number]:
            is_left[number * number :: number] = [False] * len(is_left[number * number :: number])
"""


@pytest.fixture
def student(course: Course, tmp_path: Path) -> Path:
    """Return a sound release."""
    release(course, tmp_path / "student")
    return tmp_path / "student"


def plant(student: Path, name: str, text: str) -> None:
    """Write `text` to a file of the release."""
    (student / name).parent.mkdir(parents=True, exist_ok=True)
    (student / name).write_text(text)


def found(course: Course, student: Path) -> list[str]:
    """Return what the scan says, place and fault."""
    return [f"{problem.where}: {problem.what}" for problem in leaks(course, student)]


def test_a_sound_release_shows_nothing(course: Course, student: Path) -> None:
    """The scan finds nothing in a sound release of the mini course."""
    assert found(course, student) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("assignments/ch01_arithmetic/README.md", f"Try `{LINE}`."),
        ("assignments/ch01_arithmetic/arithmetic.py", f"    # {LINE}"),
        ("assignments/ch01_arithmetic/figures/idea.svg", f"<text>{LINE}</text>"),
        ("docs/answers.md", f"-  {LINE.replace(' ', '   ')}"),
        ("assignments/ch01_arithmetic/notebook/ch01.ipynb", json.dumps({"source": [f"{LINE}\n"]}, indent=1)),
    ],
)
def test_one_line_of_a_solution_is_seen_however_it_is_dressed(
    course: Course, student: Path, name: str, text: str
) -> None:
    """A line of a solution is found in prose, comments, drawings and notebooks, and with any number of blanks."""
    plant(student, name, text)

    (leak,) = found(course, student)

    assert leak.startswith(f"{name}:")
    assert "shows line 42 of solutions/ch01_arithmetic/arithmetic.py: " in leak


def test_quotes_in_a_notebook_do_not_hide_a_line(course: Course, student: Path) -> None:
    """JSON writes a quote with a backslash; the scan reads through it."""
    answer = (
        '"".join(chr((ord(letter) - FIRST + key) % 26 + FIRST) if "a" <= letter <= "z" else letter for letter in text)'
    )
    plant(student, "docs/c.md", f"return {answer}")
    plant(student, "assignments/ch02_text/notebook/c.ipynb", json.dumps({"source": [f"return {answer}"]}, indent=1))

    assert [leak.split(": shows ")[0] for leak in found(course, student)] == [
        "assignments/ch02_text/notebook/c.ipynb:3",
        "docs/c.md:1",
    ]


def test_every_telling_line_of_every_solution_is_looked_for(course: Course, student: Path) -> None:
    """A solution copied whole is reported at each line of its regions that says something."""
    source = (course.root / "solutions" / "ch01_arithmetic" / "tally.py").read_text()
    plant(student, "assignments/ch01_arithmetic/tally.py", source)

    shown = [leak.split(": shows ")[1].split(":")[0] for leak in found(course, student)]

    assert shown.count("a marker of the staff side") == 10
    assert [entry.split()[1] for entry in shown if entry.startswith("line")] == ["12", "24", "25", "40", "41"]


def test_our_own_packages_may_share_a_line_but_not_a_passage(course: Course, student: Path) -> None:
    """Two lines in common are the field's idiom; three within ten are a copy."""
    tally = "def _add_many(self, word: str, count: int) -> None:\n"
    plant(student, "grader/idiom.py", SIEVE + "\n" * 10 + tally)
    assert found(course, student) == []

    plant(student, "grader/copy.py", SIEVE + "\n" * 5 + tally)
    assert [leak.split(": shows ")[0] for leak in found(course, student)] == [
        "grader/copy.py:1",
        "grader/copy.py:4",
        "grader/copy.py:10",
    ]


def test_a_line_that_two_solutions_share_is_an_idiom(course: Course, student: Path) -> None:
    """A line that solves two files is no secret."""
    tally = course.root / "solutions" / "ch01_arithmetic" / "tally.py"
    tally.write_text(
        tally.read_text().replace("self._count_of: dict[str, int] = {}", f"self._count_of = {{}}\n        {LINE}")
    )
    plant(student, "docs/idioms.md", LINE)

    assert found(course, student) == []


def test_a_line_that_students_get_anyway_is_no_secret(course: Course, student: Path) -> None:
    """The same line outside a region makes it public: that is how an author gives it away."""
    cipher = course.root / "solutions" / "ch02_text" / "cipher.py"
    cipher.write_text(cipher.read_text() + f"\n\ndef given(number, primes_below):\n    {LINE}\n")
    plant(student, "docs/given.md", LINE)

    assert found(course, student) == []


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("is_left = [number >= 1 for number in range(limit)]", "the mutant sieve-one_is_prime"),
        ("A word counts once, however often it is added.", "the mutant tally-counts_once"),
        ("def test_counts_are_a_copy(launch):", "the hidden test test_counts_are_a_copy"),
        ("return number > 1 and all(number % divisor for divisor in range(2, number))", "the alternative subtraction"),
    ],
)
def test_mutants_hidden_tests_and_alternatives_are_secret(
    course: Course, student: Path, text: str, origin: str
) -> None:
    """A mutant's lines and sentence, a hidden test's name, and an alternative's lines are secret."""
    plant(student, "CONTRIBUTING.md", f"See {text}\n")

    assert found(course, student) == [f"CONTRIBUTING.md:1: shows {origin}: 'See {text}'."]


def test_a_longer_name_is_another_name(course: Course, student: Path) -> None:
    """`test_counts_are_a_copy_too` is not the hidden test `test_counts_are_a_copy`."""
    plant(student, "docs/tests.md", "test_counts_are_a_copy_too\n")

    assert found(course, student) == []


@pytest.mark.parametrize(
    "name",
    [
        "solutions/ch02_text/x.py",
        "assignments/ch02_text/test_cipher_hidden.py",
        "assignments/ch02_text/a.patch",
        "programs_hidden.py",
        "assignments/ch02_text/references_hidden.py",
    ],
)
def test_staff_files_are_seen_by_their_names(course: Course, student: Path, name: str) -> None:
    """A file with a staff name is a leak, even if it is empty."""
    plant(student, name, "")

    assert found(course, student) == [f"{name}: is a file of the staff side."]


def test_pictures_are_passed_over(course: Course, student: Path) -> None:
    """A file that is no text holds no line of a solution."""
    (student / "docs").mkdir()
    (student / "docs" / "ring.png").write_bytes(b"\x89PNG\xff\xfe")

    assert found(course, student) == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("return x", False),
        ("for number in range(limit):", False),
        ("dist.send(x, dst)", False),
        ("for step in range(1, world_size):", False),
        ("received = dist.recv(buffer, left)", True),
        ("is_left[number * number :: number] = [False] * width", True),
        ("chunk = chunks[(rank - step) % world_size]", True),
    ],
)
def test_a_telling_line_is_long_or_has_four_names(line: str, *, expected: bool) -> None:
    """Short lines and common loops tell nothing about a solution."""
    assert is_telling(line) is expected


def test_a_line_of_a_hidden_test_is_secret_unless_a_public_file_has_it(course: Course, student: Path) -> None:
    """What only a hidden test says is found in prose; what a public test says as well is not."""
    hidden = course.root / "solutions/ch01_arithmetic/test_tally_hidden.py"
    public = course.root / "assignments/ch01_arithmetic/test_tally.py"
    hidden.write_text(hidden.read_text() + "\n\nSECRET = [17, 4, 9, 23, 88]\nSHARED = [1, 2, 3, 4, 5, 6]\n")
    public.write_text(public.read_text() + "\n\nSHARED = [1, 2, 3, 4, 5, 6]\n")
    plant(student, "docs/draft.md", "SHARED = [1, 2, 3, 4, 5, 6]\n> SECRET = [17, 4, 9, 23, 88]\n")

    (leak,) = found(course, student)

    assert leak.startswith("docs/draft.md:2: shows a line of solutions/ch01_arithmetic/test_tally_hidden.py: ")
