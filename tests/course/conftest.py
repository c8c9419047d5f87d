"""A copy of the mini course that a test may break, and a judge that needs no harness."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import pytest

from grader.course.catalog import Course, Selected, load_course
from grader.course.judging.report import Record
from grader.harness.outcome import Outcome

MINI_COURSE = Path(__file__).parent.parent / "mini_course"

Edit = Callable[[str, str, str], None]
Case = tuple[str, str, str, str, Callable[[ModuleType], bool]]

# What the mini course's tests ask, as plain calls: exercise, file, test, aspect, claim about the student's module.
CASES: tuple[Case, ...] = (
    (
        "gcd",
        "arithmetic.py",
        "test_gcd_is_the_greatest_common_divisor",
        "equivalence",
        lambda student: student.gcd(17, 5) == 1,
    ),
    (
        "gcd",
        "arithmetic.py",
        "test_gcd_with_zero_is_the_other_number",
        "robustness",
        lambda student: student.gcd(7, 0) == 7,
    ),
    (
        "sieve",
        "arithmetic.py",
        "test_primes_below_lists_every_prime_once",
        "equivalence",
        lambda student: student.primes_below(10) == [2, 3, 5, 7],
    ),
    (
        "sieve",
        "arithmetic.py",
        "test_nothing_is_prime_below_two",
        "robustness",
        lambda student: student.primes_below(3) == [2],
    ),
    (
        "tally",
        "tally.py",
        "test_each_rank_counts_its_own_words",
        "equivalence",
        lambda student: _tally(student, "aab").counts() == {"a": 2, "b": 1},
    ),
    (
        "tally",
        "tally.py",
        "test_merging_leaves_the_other_tally_alone",
        "property",
        lambda student: _merged(student).counts() == {"b": 1},
    ),
    (
        "tally",
        "tally.py",
        "test_counts_are_a_copy",
        "robustness",
        lambda student: _emptied(student).counts() == {"a": 1},
    ),
    (
        "caesar",
        "cipher.py",
        "test_every_letter_moves_by_the_key",
        "equivalence",
        lambda student: student.encrypt("xyz", 3) == "abc",
    ),
    (
        "caesar",
        "cipher.py",
        "test_only_small_letters_are_moved",
        "robustness",
        lambda student: student.encrypt("a b", 1) == "b c",
    ),
)

HIDDEN_TESTS = (
    *("test_nothing_is_prime_below_two", "test_merging_leaves_the_other_tally_alone", "test_counts_are_a_copy"),
    "test_only_small_letters_are_moved",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return the root of a fresh copy of the mini course."""
    return Path(shutil.copytree(MINI_COURSE, tmp_path / "course", ignore=shutil.ignore_patterns("__pycache__")))


@pytest.fixture
def course(root: Path) -> Course:
    """Return the copy's catalog."""
    return load_course(root)


@pytest.fixture
def edit(root: Path) -> Edit:
    """Replace a text that occurs in a file of the copy."""

    def replace(name: str, old: str, new: str) -> None:
        path = root / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    return replace


@pytest.fixture
def fourth_test_hangs(edit: Edit) -> None:
    """Have the fourth test of the exercise `gcd` take longer than anybody waits, in the judge itself."""
    name = "test_gcd_with_zero_is_the_other_number(student):\n"
    claim = '    """Zero is divided by everything, so the other number is the result."""\n'
    edit(
        "assignments/ch01_arithmetic/test_arithmetic.py",
        name + claim,
        f"{name}{claim}    import time; time.sleep(600)\n",
    )


def judge_in_process(
    submission: Path, selected: Sequence[Selected], *, first_failure_only: bool = False, **_: object
) -> list[Record]:
    """Grade the mini course by plain calls, here; a test may do so because it wrote the submission itself."""
    return [
        _record(chapter.id, case, _run(submission / chapter.id / case[1], case[4]))
        for chapter, exercise in selected
        for case in CASES
        if case[0] == exercise.id
    ]


@pytest.fixture
def judge() -> Callable[..., list[Record]]:
    """Return a judge without a harness."""
    return judge_in_process


def _run(path: Path, holds: Callable[[ModuleType], bool]) -> Outcome:
    student = ModuleType("student")
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), student.__dict__)
        return Outcome.PASSED if holds(student) else Outcome.FAILED
    except NotImplementedError:
        return Outcome.NOT_ATTEMPTED
    except Exception:  # noqa: BLE001  # whatever a wrong answer raises, it failed
        return Outcome.FAILED


def _record(chapter: str, case: Case, outcome: Outcome) -> Record:
    exercise, file, test, aspect, _ = case
    home, ending = ("solutions", "_hidden.py") if test in HIDDEN_TESTS else ("assignments", ".py")
    return Record(
        test=f"{home}/{chapter}/test_{Path(file).stem}{ending}::{test}",
        chapter=chapter,
        exercise=exercise,
        aspect=aspect,  # type: ignore[arg-type]
        claim=test,
        hidden=False,
        finished=True,
        outcome=outcome,
        explanation="" if outcome is Outcome.PASSED else "As planted.",
        seconds=0.0,
        world_sizes=(1,),
    )


def _tally(student: ModuleType, words: str) -> ModuleType:
    tally = student.Tally()
    for word in words:
        tally.add(word)
    return tally


def _merged(student: ModuleType) -> ModuleType:
    """Return the tally that was merged into another, which must not notice."""
    one, other = _tally(student, "a"), _tally(student, "b")
    one.merge(other)
    assert one.counts() == {"a": 1, "b": 1}
    return other


def _emptied(student: ModuleType) -> ModuleType:
    tally = _tally(student, "a")
    tally.counts().clear()
    return tally
