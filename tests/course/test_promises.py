"""The table of promises: whatever a contract says is quoted, has tests, and mutants that these tests kill."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from grader.course.catalog import Course, Selected, load_course
from grader.course.content.promises import contract_of, sentences_of
from grader.course.judging.judge_process import Judge
from grader.course.judging.report import Record
from grader.course.soundness.checking import check
from grader.course.soundness.rules import broken_rules
from grader.harness.outcome import Outcome

Edit = Callable[[str, str, str], None]

S = "solutions/ch01_arithmetic"
GCD = f"{S}/promises/gcd.toml"


def problems_of(root: Path) -> list[str]:
    """Return the problems of the first chapter, as printed."""
    return [str(problem) for problem in broken_rules(load_course(root).chapter("ch01"))]


@pytest.mark.parametrize("chapter", ["ch01", "ch02"])
def test_the_mini_course_keeps_its_promises(course: Course, chapter: str) -> None:
    """The mini course's tables are complete."""
    assert broken_rules(course.chapter(chapter)) == []


def test_an_exercise_without_a_table_is_a_problem(root: Path) -> None:
    """A new exercise needs its table."""
    (root / GCD).unlink()

    assert problems_of(root) == [
        (
            f"{GCD}: exercise 'gcd' has no table of promises. "
            "Write it: [[promises]] with says, tests and mutants, [[remarks]] with says and because."
        )
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            'says = "of which at most one is 0"',
            'says = "of which none is 0"',
            "the contract does not say 'of which none is 0'. Quote the docstrings of arithmetic.py or the README as they are.",
        ),
        (
            '"Raises: ValueError if both are 0."',
            '"whole numbers"',
            (
                "nothing stands for the sentence 'ValueError if both are 0.'. Add a promise with the tests that fail if it is "
                "broken, or a remark that says why it demands nothing."
            ),
        ),
        (
            '["test_arithmetic.py::test_gcd_with_zero_is_the_other_number"]',
            "[]",
            "no test fails if 'of which at most one is 0' is broken. Write one, and a mutant that it kills.",
        ),
        (
            "::test_gcd_with_zero",
            "::test_gcd_without_zero",
            (
                "'test_arithmetic.py::test_gcd_without_zero_is_the_other_number' is no graded test of 'gcd'. "
                "Name it as test_file.py::test_function, without parameters."
            ),
        ),
        (
            "gcd-returns_the_rest",
            "gcd-returns_no_rest",
            "there is no mutant 'gcd-returns_no_rest' of 'gcd'. Correct its name.",
        ),
        (
            '"gcd-returns_the_rest", ',
            "",
            "no promise names the mutant 'gcd-returns_the_rest'. Name it under the promise that it breaks.",
        ),
        ("says =", "sais =", "Object contains unknown field `sais` - at `$.promises[0]`."),
    ],
)
def test_a_fault_in_a_table_is_named(root: Path, edit: Edit, old: str, new: str, expected: str) -> None:
    """Each fault in a table says what is wrong and what to do."""
    edit(GCD, old, new)

    assert f"{GCD}: {expected}" in problems_of(root)


def test_a_new_sentence_of_a_contract_asks_for_a_test(root: Path, edit: Edit) -> None:
    """Whoever promises more in a docstring is asked which test fails if it is broken."""
    edit(
        f"{S}/arithmetic.py",
        "Raises: ValueError if both are 0.",
        "Neither is changed.\n\n    Raises: ValueError if both are 0.",
    )

    assert any("nothing stands for the sentence 'Neither is changed.'" in problem for problem in problems_of(root))


def test_methods_are_part_of_the_contract_and_sources_are_not(course: Course) -> None:
    """The sentences of a class are its own and its methods', without the source."""
    chapter = course.chapter("ch01")
    tally = next(exercise for exercise in chapter.exercises if exercise.id == "tally")

    assert sentences_of(chapter, tally) == [
        "How often each word was added.",
        "Count `word` once more.",
        "Add all that `other` has counted, and leave `other` as it is.",
        "Return how often each word was added.",
        "How many words were added.",
    ]


def test_what_students_do_not_see_is_no_contract(course: Course, edit: Edit) -> None:
    """The docstring of a function that only the solution has promises nobody anything."""
    private = "    def _add_many(self, word: str, count: int) -> None:\n"
    edit(f"{S}/tally.py", private, f'{private}        """Count `word` several times more."""\n')
    chapter = course.chapter("ch01")
    tally = next(exercise for exercise in chapter.exercises if exercise.id == "tally")

    assert not [sentence for sentence in sentences_of(chapter, tally) if "several times" in sentence]
    assert "several times" not in contract_of(chapter, tally)


def test_a_mutant_must_die_of_what_it_breaks(course: Course, edit: Edit, judge: Judge) -> None:
    """A test that happens to see a mutant does not prove the promise that the mutant is said to break."""
    edit(f"{S}/promises/tally.toml", "_hidden.py::test_counts_are_a_copy", ".py::test_each_rank_counts_its_own_words")

    assert [str(problem) for problem in check([course.chapter("ch01")], judge, workers=1).problems] == [
        (
            f"{S}/mutants/tally-counts_are_shared.patch: is caught by test_tally_hidden.py::test_counts_are_a_copy, which no "
            "promise names that this mutant is said to break. Name the test there, or the mutant elsewhere, in "
            f"{S}/promises/tally.toml."
        )
    ]


def test_golden_texts_are_compared_by_the_kind_of_mistake(course: Course, edit: Edit, judge: Judge) -> None:
    """What a student is told of a mutant is written down once, and another kind of mistake is a problem."""
    chapter = course.chapter("ch01")
    assert check([chapter], judge, workers=1, write_told=True).problems == ()
    golden = f"{S}/told/gcd.md"
    assert "gcd-returns_the_rest\n\nThe last rest" in (course.root / golden).read_text()
    assert check([chapter], judge, workers=1).problems == ()

    edit(golden, "Kind: None, told by a public test", "Kind: a wrong scale, told by a public test")
    problems = check([chapter], judge, workers=1).problems

    assert {problem.where for problem in problems} == {golden}
    assert len(problems) == 3
    assert "As planted." in problems[0].what
    assert problems[0].todo == (
        "If it names the mistake as well or better, run `grade check ch01_arithmetic --write-told` and commit the file."
    )


def test_words_may_differ(course: Course, judge: Judge) -> None:
    """Inputs are drawn, and ranks race, so the same mistake is not told in the same words each time."""
    chapter = course.chapter("ch01")

    check([chapter], saying(judge, "got 3, expected [1, 2] at 1e-05"), workers=1, write_told=True)

    assert check([chapter], saying(judge, "rank 1 was first"), workers=1).problems == ()


def saying(judge: Judge, text: str) -> Judge:
    """Return a judge that explains every failure with `text`."""

    def judged(submission: Path, selected: Sequence[Selected], **options: Any) -> list[Record]:
        records = judge(submission, selected, **options)
        return [
            record if record.outcome is Outcome.PASSED else structs.replace(record, explanation=text)
            for record in records
        ]

    return judged
