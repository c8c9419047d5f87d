"""What running the chapters shows: stubs earn nothing, solutions all, and every mutant dies in its own exercise."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from course_env.errors import LaunchError
from grader.course.catalog import Course, Selected
from grader.course.judging.judge_process import Judge
from grader.course.judging.report import Record
from grader.course.soundness.checking import CheckReport, check

Edit = Callable[[str, str, str], None]

S = "solutions/ch01_arithmetic"
T = "assignments/ch01_arithmetic/test_arithmetic.py"


def run(course: Course, judge: Judge, chapter: str = "ch01") -> CheckReport:
    """Check one chapter with one judge at a time."""
    return check([course.chapter(chapter)], judge, workers=1)


def test_a_sound_course_has_no_problem_and_one_line_a_chapter(course: Course, judge: Judge) -> None:
    """The line of a sound chapter gives the points of stubs and solutions, and the number of mutants."""
    report = check(course.chapters, judge)

    assert report.problems == ()
    assert [str(proof) for proof in report.proofs] == [
        "ch01_arithmetic: stubs 0 of 15, solutions 15 of 15, 9 mutants killed",
        "ch02_text: stubs 0 of 1, solutions 1 of 1, 3 mutants killed",
    ]


def test_a_wrong_solution_is_seen(course: Course, edit: Edit, judge: Judge) -> None:
    """A test that a solution does not pass is a problem of the course."""
    edit(f"{S}/tally.py", "return dict(self._count_of)", "return self._count_of")

    report = run(course, judge)

    assert (
        "solutions/ch01_arithmetic/test_tally_hidden.py::test_counts_are_a_copy: is failed on the solution of 'tally'. As planted. Fix the test, or what it tests."
        in [str(problem) for problem in report.problems]
    )
    assert str(report.proofs[0]).startswith("ch01_arithmetic: stubs 0 of 15, solutions 14 of 15, ")


def test_a_test_that_never_reaches_a_gap_is_seen(course: Course, edit: Edit, judge: Judge) -> None:
    """On a stub every test must be not_attempted, or an untouched file would earn points."""
    gap = "    ### BEGIN SOLUTION\n    # The pair"
    edit(f"{S}/arithmetic.py", gap, f"    if b == 0:\n        return a\n{gap}")

    report = run(course, judge)

    assert [
        str(problem) for problem in report.problems if problem.where.endswith("test_gcd_with_zero_is_the_other_number")
    ] == [
        (
            f"{T}::test_gcd_with_zero_is_the_other_number: is passed on the stub of 'gcd'. Every test must reach a gap, which makes it not_attempted: "
            "let it call what the student writes."
        )
    ]


def test_a_mutant_that_survives_is_seen(course: Course, edit: Edit, judge: Judge) -> None:
    """A wrong answer that passes every test shows what the tests do not see."""
    edit(f"{S}/mutants/gcd-returns_the_rest.patch", "+    return b", "+    return +a")

    report = run(course, judge)

    assert [str(problem) for problem in report.problems] == [
        (
            f"{S}/mutants/gcd-returns_the_rest.patch: survives: the tests of 'gcd' are passed on it. "
            "Its fault: The last rest, which is always 0, is returned. Write a test that sees it."
        )
    ]
    assert str(report.proofs[0]).endswith("8 of 9 mutants killed")


def test_a_mutant_that_is_merely_not_attempted_is_not_killed(course: Course, edit: Edit, judge: Judge) -> None:
    """A mutant on which its tests are `not_attempted` survives, because it is no answer."""
    edit(f"{S}/mutants/gcd-returns_the_rest.patch", "+    return b", "+    raise NotImplementedError")

    assert run(course, judge).problems[0].what.startswith("survives: the tests of 'gcd' are not_attempted on it.")


def test_a_mutant_that_breaks_another_exercise_is_seen(course: Course, edit: Edit, judge: Judge) -> None:
    """An exercise must not lose points for another one's fault."""
    edit(
        f"{S}/mutants/gcd-returns_the_rest.patch",
        "+    return b",
        "+    global primes_below; primes_below = None; return b",
    )
    # The exercises share a module here only while one test calls both.
    edit(f"{S}/arithmetic.py", "    is_left = _sieve(limit)\n", "    is_left = _sieve(gcd(limit, limit))\n")

    report = run(course, judge)

    assert (
        f"{S}/mutants/gcd-returns_the_rest.patch: is a mutant of 'gcd', but {T}::test_primes_below_lists_every_prime_once of 'sieve' is failed on it. "
        "Let it change its own exercise alone, or let that test use its own exercise alone."
    ) in [str(problem) for problem in report.problems]


def test_a_mutant_that_does_not_apply_loses_none_of_the_others(course: Course, edit: Edit, judge: Judge) -> None:
    """A mutant that does not apply is one problem, and the other mutants are tried."""
    edit(f"{S}/tally.py", "self._count_of.get(word, 0) + count", "count + self._count_of.get(word, 0)")

    report = run(course, judge)

    assert [problem.where for problem in report.problems] == [f"{S}/mutants/tally-counts_once.patch"]
    assert "does not apply to" in report.problems[0].what
    assert str(report.proofs[0]).endswith("8 of 9 mutants killed")


def test_a_right_answer_of_another_kind_must_pass(course: Course, edit: Edit, judge: Judge) -> None:
    """A test that only the course's own solution passes grades more than the contract."""
    edit(f"{S}/alternatives/subtraction/arithmetic.py", "return a + b", "return 0")

    assert [str(problem) for problem in run(course, judge).problems] == [
        f"{T}::test_gcd_with_zero_is_the_other_number: is failed on the alternative subtraction of 'gcd'. As planted. Fix the test, or what it tests."
    ]


@pytest.mark.parametrize(
    "baseline",
    [
        "def divides_both(a, b):\n    return math.gcd(a, b)\n",
        "def divides_both(b, a, *, most=10**9):\n    return min(math.gcd(a, b), most)\n",
        "def divides_both(a, b):\n    if b == 0:\n        raise KeyError\n    return math.gcd(a, b)\n",
        "def divides_both(first, second):\n    return largest(first, second)\n\n\ndef largest(a, b):\n    return math.gcd(a, b)\n",
    ],
)
def test_a_public_baseline_that_is_an_answer_is_seen(course: Course, edit: Edit, judge: Judge, baseline: str) -> None:
    """A function of the public tests that passes as an answer can be copied by everybody."""
    imports = "from assignments.ch01_arithmetic.references_arithmetic import divides_both  # noqa: F401\n"
    edit("assignments/ch01_arithmetic/test_arithmetic.py", "import pytest\n", f"import pytest\n{imports}")
    references = "assignments/ch01_arithmetic/references_arithmetic.py"
    (course.root / references).write_text(f'"""Baselines."""\n\nimport math\n\nimport pytest\n\n\n{baseline}')

    problems = [str(problem) for problem in run(course, judge).problems]

    assert problems[0] == (
        f"{references}:8: divides_both passes as an answer to 'gcd': copied as gcd, it gives the right values. Students have this "
        "file. Let the baseline be a table of values, a slow way that is no answer, or PyTorch's own function."
    )
    assert all("passes as an answer" in problem for problem in problems)


def test_an_exercise_that_the_judge_never_collected_is_seen(course: Course, judge: Judge) -> None:
    """An exercise whose tests pytest did not collect is a problem."""

    def blind(
        submission: Path, selected: Sequence[Selected], *, first_failure_only: bool = False, **_: object
    ) -> list[Record]:
        records = judge(submission, selected, first_failure_only=first_failure_only)
        return [record for record in records if record.exercise != "caesar"]

    assert (
        "ch02_text: Exercise 'caesar' has no test that the judge collected, so it cannot be scored. Run `grade check`."
        in [str(problem) for problem in run(course, blind, "ch02").problems]
    )


def test_a_judge_that_fails_is_one_problem_among_the_others(course: Course, edit: Edit) -> None:
    """If the judge fails, the problems that reading showed are still reported."""
    edit("assignments/ch02_text/README.md", "(1 point)", "(2 points)")

    def broken(
        submission: Path, selected: Sequence[Selected], *, first_failure_only: bool = False, **_: object
    ) -> list[Record]:
        raise LaunchError("The judge did not get as far as collecting its tests.")

    report = run(course, broken, "ch02")

    assert [problem.where for problem in report.problems] == [
        "assignments/ch02_text/README.md:3",
        "assignments/ch02_text/README.md",
        "ch02_text",
    ]
    assert report.proofs == ()


def test_a_chapter_that_cannot_be_read_is_not_run(course: Course, edit: Edit, judge: Judge) -> None:
    """A chapter that cannot be read is not run; the rules say why, and the other chapters are checked."""
    edit("solutions/ch02_text/cipher.py", "### END SOLUTION", "")
    lines: list[str] = []

    report = check(course.chapters, judge, announce=lines.append, workers=1)

    assert [problem.where for problem in report.problems] == ["solutions/ch02_text/cipher.py:11"]
    assert [proof.chapter for proof in report.proofs] == ["ch01_arithmetic"]
    assert "ch02_text: not run, because some of its files cannot be read" in lines


def test_only_the_tests_that_can_see_a_mutant_are_run(course: Course, judge: Judge) -> None:
    """A mutant is judged by its own exercise up to the first failure, and by all tests of the exercises in the same file."""
    asked: set[tuple[tuple[str, ...], bool]] = set()
    lock = threading.Lock()

    def spy(
        submission: Path, selected: Sequence[Selected], *, first_failure_only: bool = False, **_: object
    ) -> list[Record]:
        with lock:
            asked.add((tuple(exercise.id for _, exercise in selected), first_failure_only))
        return judge(submission, selected, first_failure_only=first_failure_only)

    check([course.chapter("ch01")], spy, workers=2)

    assert asked == {
        (("gcd", "sieve", "tally"), False),
        (("gcd",), True),
        (("sieve",), False),
        (("sieve",), True),
        (("gcd",), False),
        (("tally",), True),
        (("gcd", "sieve"), False),
    }


@pytest.mark.parametrize("step", ["files", "stubs", "solutions", "mutant caesar-no_wrap"])
def test_each_step_is_announced(course: Course, judge: Judge, step: str) -> None:
    """A check, which takes minutes, announces each step before it begins."""
    lines: list[str] = []

    check([course.chapter("ch02")], judge, announce=lines.append)

    assert f"ch02_text: {step}" in lines
