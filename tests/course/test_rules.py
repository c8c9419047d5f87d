"""The course's rules: each is broken on purpose here, and says what to do."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from grader.course.catalog import Course, load_course
from grader.course.soundness.rules import broken_rules

Edit = Callable[[str, str, str], None]

A = "assignments/ch01_arithmetic"
S = "solutions/ch01_arithmetic"


def problems_of(root: Path, chapter: str = "ch01") -> list[str]:
    """Return the problems that the rules find in a chapter, as printed, without what follows for its tables of promises."""
    problems = broken_rules(load_course(root).chapter(chapter))
    return [str(problem) for problem in problems if "/promises/" not in problem.where]


@pytest.mark.parametrize("chapter", ["ch01", "ch02"])
def test_the_mini_course_breaks_no_rule(root: Path, chapter: str) -> None:
    """The mini course, in which no fault was planted, has no problem."""
    assert problems_of(root, chapter) == []


def test_what_python_leaves_behind_is_no_file_of_the_course(root: Path) -> None:
    """Byte code in __pycache__ is passed over on both sides."""
    for tree in (A, S):
        (root / tree / "__pycache__").mkdir()
        (root / tree / "__pycache__" / "x.pyc").write_bytes(b"")

    assert problems_of(root) == []


@pytest.mark.parametrize(
    "name",
    [
        *("figures/ring.svg", "notebook/ch01.ipynb", "lab/compare.py"),
        *("programs_tally.py", "references.py", "references_tally.py"),
    ],
)
def test_what_the_release_ships_may_stand_in_assignments(root: Path, name: str) -> None:
    """A file that the release ships is no problem in assignments/."""
    (root / A / name).parent.mkdir(exist_ok=True)
    (root / A / name).write_text("")

    assert problems_of(root) == []


@pytest.mark.parametrize(
    "name",
    [
        *("notes.txt", "answer.py", "test_tally_hidden.py", "programs_hidden.py", "references_hidden.py"),
        *("figures/deep/ring.svg", "lab/data.bin", "mutants/gcd-x.patch"),
    ],
)
def test_any_other_file_in_assignments_is_unexpected(root: Path, name: str) -> None:
    """A file that nobody declared is never shipped by accident."""
    (root / A / name).parent.mkdir(parents=True, exist_ok=True)
    (root / A / name).write_text("")

    assert problems_of(root) == [
        f"{A}/{name}: is no file that a chapter has. Delete it, move it to solutions/, or declare it as the 'file' of an exercise."
    ]


@pytest.mark.parametrize("name", [f"{A}/test_more.py", f"{S}/test_more_hidden.py", f"{S}/test_tally_old_hidden.py"])
def test_a_test_file_that_belongs_to_no_student_file_is_a_problem(root: Path, name: str) -> None:
    """Nothing is graded with a test file that is named after no student file, so an author must hear of it."""
    (root / name).write_text("")

    assert problems_of(root) == [
        (
            f"{name}: is named after no student file, so nothing is graded with it. "
            "Name it test_arithmetic.py or test_tally.py, in solutions/ with _hidden, or delete it."
        )
    ]


@pytest.mark.parametrize(
    "name", ["old.py", "test_tally.py", "mutants/gcd.diff", "alternatives/tally.py", "alternatives/x/other.py"]
)
def test_a_file_in_solutions_that_nothing_would_look_at_is_unexpected(root: Path, name: str) -> None:
    """A file in solutions/ that no check reads is a problem: a hidden test with a wrong name would silently not count."""
    (root / S / name).parent.mkdir(parents=True, exist_ok=True)
    (root / S / name).write_text("")

    assert problems_of(root) == [
        (
            f"{S}/{name}: is neither a declared file, a hidden test, a mutant, an alternative nor a table of promises. "
            "Delete it, rename it, or declare it as the 'file' of an exercise."
        )
    ]


def test_a_missing_solution_is_one_problem(root: Path) -> None:
    """A missing solution, which several rules need, is reported once."""
    (root / S / "tally.py").unlink()

    assert problems_of(root) == [f"{S}/tally.py: the file is missing. Write it, or fix the name in assignment.toml."]


PLANTED = [
    (f"{A}/tally.py", "Count `word` once more.", "Count.", [f"{A}/tally.py: differs from its solution's stub at line 15. Change {S}/tally.py if the text is wrong, then run `grade release --stubs`."]),
    (f"{S}/tally.py", "        self._add_many(word, 1)\n", "        import arithmetic\n", [f"{S}/tally.py:18: imports 'arithmetic'. A student's file stands alone: it imports the standard library, course_env and the chapter's needs."]),
    (f"{S}/tally.py", "        self._add_many(word, 1)\n", "        from . import x\n", [f"{S}/tally.py:18: imports '.'. A student's file stands alone: it imports the standard library, course_env and the chapter's needs."]),
    (f"{S}/tally.py", "        self._add_many(word, 1)\n", "        import torch.distributed\n", [f"{S}/tally.py:18: imports 'torch.distributed'. A student's file stands alone: it imports the standard library, course_env and the chapter's needs."]),
    (f"{A}/test_tally.py", '"tally", aspect', '"taly", aspect', [
        f"{A}/assignment.toml: exercise 'tally' has no public test. Write one in {A}/test_tally.py.",
        f"{A}/test_tally.py:9: test_each_rank_counts_its_own_words is for the exercise 'taly', which does not exist. Known: gcd, sieve, tally. Did you mean 'tally'?",
    ]),
    (f"{S}/test_arithmetic_hidden.py", '"sieve", aspect', '"gcd", aspect', [f"{A}/assignment.toml: exercise 'sieve' has no hidden test. Write one in {S}/test_arithmetic_hidden.py."]),
    (f"{A}/test_arithmetic.py", '    """The primes below 30 are found, in order."""\n', "", [f"{A}/test_arithmetic.py:25: test_primes_below_lists_every_prime_once has no docstring. Write the claim that it tests, as one sentence."]),
    (f"{A}/test_arithmetic.py", '@exercise("gcd", aspect="robustness")\n', "", [f'{A}/test_arithmetic.py:18: test_gcd_with_zero_is_the_other_number names no exercise. Put @exercise("<id>", aspect="<aspect>") above it, as plain strings.']),
    (f"{A}/test_arithmetic.py", '"gcd", aspect="robustness"', "GCD, aspect=ROBUSTNESS", [f'{A}/test_arithmetic.py:19: test_gcd_with_zero_is_the_other_number names no exercise. Put @exercise("<id>", aspect="<aspect>") above it, as plain strings.']),
    (f"{A}/test_arithmetic.py", '"gcd", aspect="robustness"', '"gcd", aspect="robust"', [f"{A}/test_arithmetic.py:19: test_gcd_with_zero_is_the_other_number has the aspect 'robust'. Write aspect= with one of: equivalence, property, robustness."]),
    (f"{A}/test_arithmetic.py", '"gcd", aspect="robustness"', '"gcd"', [f"{A}/test_arithmetic.py:19: test_gcd_with_zero_is_the_other_number names no aspect. Write aspect= with one of: equivalence, property, robustness."]),
    (f"{A}/test_tally.py", "def test_each", "def test_each(:\ndef x", [f"{A}/test_tally.py:9: not valid Python: invalid syntax."]),
    (f"{S}/mutants/gcd-returns_the_rest.patch", "exercise: gcd", "exercise gcd", [f"{S}/mutants/gcd-returns_the_rest.patch:1: the first line is 'exercise gcd'. It must be 'exercise: <id>'."]),
    (f"{A}/README.md", "1.2 · `sieve` (6 points)", "1.2 · `sieve` (7 points)", [
        f"{A}/README.md:8: the heading '### Exercise 1.2 · `sieve` (7 points)' is no exercise's. The exercises of assignment.toml have these: ### Exercise 1.1 · `gcd` (4 points); ### Exercise 1.2 · `sieve` (6 points); ### Exercise 1.3 · `tally` (5 points).",
        f"{A}/README.md: has 0 headings '### Exercise 1.2 · `sieve` (6 points)'. Write it once, with the points of assignment.toml.",
    ]),
    (f"{A}/README.md", "**The sieve of Eratosthenes**", "**The sieve**", [f"{A}/README.md:8: below its heading, 'sieve' is called '**The sieve**'. assignment.toml calls it 'The sieve of Eratosthenes'; write that line."]),
    (f"{A}/assignment.toml", "points = 4", "points = 1", [
        f"{A}/README.md:5: the heading '### Exercise 1.1 · `gcd` (4 points)' is no exercise's. The exercises of assignment.toml have these: ### Exercise 1.1 · `gcd` (1 point); ### Exercise 1.2 · `sieve` (6 points); ### Exercise 1.3 · `tally` (5 points).",
        f"{A}/README.md: has 0 headings '### Exercise 1.1 · `gcd` (1 point)'. Write it once, with the points of assignment.toml.",
    ]),
    (f"{A}/assignment.toml", "propositions 1 and 2", "proposition 2", [f"{S}/arithmetic.py:9: the docstring of 'gcd' gives the source as 'Euclid, Elements, book VII, propositions 1 and 2'. assignment.toml says 'Euclid, Elements, book VII, proposition 2'; make the two agree."]),
]  # fmt: skip


@pytest.mark.parametrize("planted", PLANTED, ids=range(len(PLANTED)))
def test_a_planted_fault_is_named_with_what_to_do(
    root: Path, edit: Edit, planted: tuple[str, str, str, list[str]]
) -> None:
    """A planted fault gives exactly its own problems, each with the place, the fault and what to do."""
    name, old, new, expected = planted
    edit(name, old, new)

    problems = problems_of(root)

    # A fault in a solution also makes its stub stale where it stands outside the regions; that is another test.
    assert [problem for problem in problems if f"{A}/tally.py" not in problem or f"{A}/tally.py" == name] == expected


def test_the_marker_has_one_spelling(root: Path, edit: Edit) -> None:
    """A test under pytest's own name of the marker is read as one that names no exercise, and says what to write."""
    edit(f"{A}/test_tally.py", "@exercise(", "@pytest.mark.exercise(")

    assert (
        f"{A}/test_tally.py:9: test_each_rank_counts_its_own_words names no exercise. "
        'Put @exercise("<id>", aspect="<aspect>") above it, as plain strings.'
    ) in problems_of(root)


IMPORTS_OF_TESTS = [
    (f"{A}/test_tally.py", "from assignments.ch01_arithmetic.test_arithmetic import math", "assignments.ch01_arithmetic.test_arithmetic"),
    (f"{A}/test_tally.py", "from assignments.ch01_arithmetic import test_arithmetic", "assignments.ch01_arithmetic.test_arithmetic"),
    (f"{S}/test_tally_hidden.py", "import assignments.ch01_arithmetic.test_tally", "assignments.ch01_arithmetic.test_tally"),
    (f"{S}/test_tally_hidden.py", "from assignments.ch02_text.test_cipher import exercise", "assignments.ch02_text.test_cipher"),
    (f"{A}/references.py", "from assignments.ch01_arithmetic.test_tally import programs", "assignments.ch01_arithmetic.test_tally"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "line", "module"), IMPORTS_OF_TESTS)
def test_no_test_file_is_a_library(root: Path, name: str, line: str, module: str) -> None:
    """A file that imports a test file is a problem that says where shared helpers go."""
    old = (root / name).read_text() if (root / name).exists() else '"""Shared."""\n'
    first, rest = old.split("\n", 1)
    (root / name).write_text(f"{first}\n{line}\n{rest}")

    assert problems_of(root) == [
        (
            f"{name}:2: imports the test file '{module}'. Move what both need to assignments/ch01_arithmetic/references.py, "
            "or to a references_<file>.py there."
        )
    ]


@pytest.mark.parametrize("file", [f"{A}/programs.py", f"{A}/programs_tally.py", f"{S}/programs_hidden.py"])
@pytest.mark.parametrize("module", ["assignments.ch01_arithmetic", "grader.harness", "torch", "references"])
def test_rank_programs_stand_alone(root: Path, file: str, module: str) -> None:
    """A file of rank programs that imports what no rank has is a problem."""
    (root / file).write_text(f'"""Programs."""\n\nimport os\nimport course_env.errors\nfrom {module} import x\n')

    assert (
        f"{file}:5: imports '{module}'. Ranks get this file alone: "
        "it imports the standard library, course_env and the chapter's needs."
    ) in problems_of(root)


def test_the_contract_may_not_lack_its_source(root: Path, edit: Edit) -> None:
    """A first symbol whose docstring names no source is a problem."""
    edit(
        f"{S}/tally.py", "\n    Source: Agarwal et al. 2013, Mergeable Summaries, doi:10.1145/2500128, section 1.\n", ""
    )

    assert problems_of(root)[-1] == (
        f"{S}/tally.py:4: the docstring of 'Tally' gives the source as ''. assignment.toml says "
        "'Agarwal et al. 2013, Mergeable Summaries, doi:10.1145/2500128, section 1'; make the two agree."
    )


def test_every_symbol_has_a_contract(root: Path, edit: Edit) -> None:
    """A symbol without a docstring leaves the student guessing."""
    edit(f"{S}/arithmetic.py", '    """Return whether `number` has exactly two divisors."""\n', "")

    assert problems_of(root)[-1] == (
        f"{S}/arithmetic.py:39: 'is_prime' has no docstring. Write the exact contract: it is all that the student gets."
    )


def test_another_label_ends_the_source(root: Path, edit: Edit) -> None:
    """`Source:` need not be the last line of a docstring."""
    source = "    Source: Nicomachus of Gerasa, Introduction to Arithmetic, book I, chapter 13.\n"
    edit(f"{S}/arithmetic.py", source, source + "    Raises: nothing.\n")

    assert not any("gives the source" in problem for problem in problems_of(root))


def test_three_mutants_are_the_least(root: Path) -> None:
    """Tests that were tried on fewer wrong answers are not trusted."""
    (root / S / "mutants" / "tally-counts_once.patch").unlink()

    assert problems_of(root) == [
        (
            f"{A}/assignment.toml: exercise 'tally' has 2 mutants. "
            f"Add {S}/mutants/tally-<what is wrong>.patch until there are 3."
        )
    ]


def test_a_missing_readme_is_named(root: Path) -> None:
    """A chapter without a README is a problem that names the file."""
    (root / A / "README.md").unlink()

    assert problems_of(root) == [f"{A}/README.md: the file is missing. Write it, or fix the name in assignment.toml."]


def test_a_chapter_without_solutions_is_named(course: Course) -> None:
    """In a student's copy there is nothing to check, and the error says what is missing."""
    shutil.rmtree(course.root / "solutions")

    assert problems_of(course.root, "ch02")[0] == (
        "solutions/ch02_text/cipher.py: the file is missing. Write it, or fix the name in assignment.toml."
    )
