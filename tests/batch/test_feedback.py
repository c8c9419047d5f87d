"""What a student reads of a result: everything of public tests, of hidden ones a claim and a kind, and no text that acts."""

import re
import time
from collections import defaultdict
from itertools import product
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from grader.batch.feedback import feedback
from grader.batch.intake.listing import LeftOut, TakenFile
from grader.batch.result import (
    ResultOfChapter,
    ResultOfExercise,
    ResultOfTest,
    SubmissionResult,
)
from grader.course.catalog import load_course
from grader.course.content.graded_tests import hidden_tests
from grader.harness.mistake import Mistake
from grader.harness.outcome import Outcome
from grader.harness.protocol.wall import Wall

TESTS = Path(__file__).parent.parent

# In the hidden launch each says all it can find: inputs, the program's source, and the names of what runs.
THIEF = """
import inspect
import sys

def loot():
    frames = []
    frame = sys._getframe(1)
    while frame is not None:
        frames.append(f"{frame.f_code.co_filename} {frame.f_code.co_name} {frame.f_locals}")
        if frame.f_code.co_filename.endswith("programs_hidden.py"):
            frames.append(open(frame.f_code.co_filename).read())
        frame = frame.f_back
    print(frames)
    return str(frames)

class Tally:
    def __init__(self):
        self.words = {}
        self.total = 0

    def add(self, word):
        self.total += 1
        self.words[word] = self.words.get(word, 0) + 1

    def merge(self, other):
        raise type(loot().replace(" ", "_"), (Exception,), {})(loot())

    def counts(self):
        return {loot(): 1} if "programs_hidden" in loot() else dict(self.words)
"""

LARGE = """
def gcd(a, b):
    if a > 100:
        raise ValueError(f"{a} {b}")
    while b:
        a, b = b, a % b
    return a

def primes_below(limit):
    return [n for n in range(2, limit) if is_prime(n)] or f"limit {limit}"

def is_prime(number):
    return number > 1 and all(number % divisor for divisor in range(2, number))
"""

SECRETS = [
    *("1071", "462", str(2**40), str(6**20)),
    *("limit 0", "limit 1", "limit 2", "[[], [], [], [2]]"),
    *("hidden.py", "programs_hidden", "tally_twice", "merge_tallies", "Change what counts()"),
    *("test_gcd_of_large_numbers", "test_nothing_is_prime", "test_merging", "test_counts_are_a_copy"),
    *("'left'", "'right'", "::", "solutions", "seed"),
]

HIDDEN_PARTS = [
    """
    A hidden test fails:
      The result is right far beyond what counting down could reach.
    Kind of mistake: raises an exception.
""",
    """
    A hidden test fails:
      Limits up to 2 give an empty list, and the limit itself is left out.
    Kind of mistake: a check that does not hold.
""",
    """
    Hidden tests fail:
      The merged tally has both lists' words, and the other one only its own.
      Whoever changes what counts() returned does not change the tally.
    Kind of mistake of the first: raises an exception.
""",
]

BITS_FOR_AN_EXERCISE = 9
"""Which kind of mistake is told, and how the exercise ended."""

BITS_IN_A_CHAPTER = 200


def test_nothing_that_runs_in_a_hidden_test_reaches_the_student(batch, submit, grade_class):
    """Inputs, expected values, programs and names that code finds in a hidden launch stay with staff."""
    files = {"arithmetic.py": LARGE, "tally.py": THIEF}
    folder = submit("thief", {f"ch01_arithmetic/{name}": text for name, text in files.items()})

    result = grade_class(batch, folder)["thief"]
    page = feedback(result)

    stolen = "".join(test.explanation for exercise in result.chapters[0].exercises for test in exercise.tests)
    assert [] == [secret for secret in ("1071", "limit 2", "programs_hidden", "tally_twice") if secret not in stolen]
    assert [] == [secret for secret in SECRETS if secret in page]
    assert [] == [part for part in HIDDEN_PARTS if part not in page]
    for exercise in result.chapters[0].exercises:
        assert exercise.hidden_explanation
        assert exercise.explanation.startswith("A hidden test fails: ")


def test_a_page_says_what_was_graded_how_and_what_is_wrong(batch, submit, grade_class):
    """The page holds the files taken and left out, the wall, points, and the whole explanation of each failed public test."""
    wrong = LARGE.replace("return a\n", "return 1\n")
    result = grade_class(batch, submit("alice", {"ch01_arithmetic/arithmetic.py": wrong, "notes.txt": ""}))["alice"]

    page = feedback(result)

    assert page.startswith("# Feedback\n\n    alice: 4.8 of 15 points\n    Graded ")
    assert f"({result.wall})." in page
    assert "    gcd    0 of 4 failed\n    sieve  4.8 of 6 failed\n    tally  0 of 5 not attempted\n" in page
    assert f"\nGraded files:\n\n    arithmetic.py, {len(wrong)} bytes\n" in page
    assert "\nLeft out:\n\n    notes.txt: is not one of the chapters to grade\n" in page
    assert "\n    test_gcd_is_the_greatest_common_divisor[12-18] failed\n    The result is the largest number" in page
    assert "where 1 = student.gcd(12, 18)" in page
    assert "    tally.py is missing: the submission has no such file." in page


def test_a_perfect_page_is_short():
    """If everything passed, the page holds only points, the wall and the graded files."""
    page = feedback(made(tests=[made_test(outcome=Outcome.PASSED)], outcome=Outcome.PASSED, score=4.0))

    assert "    alice: 4 of 4 points\n    Graded with a separate sandbox for each launch (nested).\n" in page
    assert page.endswith("    gcd  4 of 4 passed\n\nGraded files:\n\n    arithmetic.py, 5 bytes\n")


def test_hidden_tests_told_alike_are_told_once():
    """Hidden tests with the same text appear once, so that nobody can count how many inputs they try."""
    tests = [made_test(hidden=True, test=f"test_hidden.py::test_x[{number}]") for number in range(5)]

    page = feedback(made(tests=tests))

    assert 1 == page.count("A hidden test")
    assert 1 == page.count("It holds.")


def test_the_ways_in_which_hidden_tests_fail_choose_no_word_of_the_page():
    """The page is decided by which claims fail and by the first one's kind of mistake: nothing else can carry a message."""
    claims = ("A", "B", "C")
    ends = [
        {"outcome": Outcome.PASSED, "mistake": None},
        {"outcome": Outcome.FAILED, "mistake": Mistake.ZEROS},
        {"outcome": Outcome.FAILED, "mistake": Mistake.SIGN, "explanation": "x", "world_sizes": (4,), "seconds": 9.0},
        {"outcome": Outcome.TIMED_OUT, "mistake": Mistake.DEADLOCK},
        {"outcome": Outcome.CRASHED, "mistake": Mistake.CRASHED},
        {"outcome": Outcome.NOT_ATTEMPTED, "mistake": Mistake.NOT_ATTEMPTED},
        {"outcome": Outcome.NOT_GRADABLE, "mistake": None},
    ]
    pages = defaultdict(set)
    public = made_test()
    for chosen in product(ends, repeat=len(claims)):
        tests = [made_test(hidden=True, claim=claim, **end) for claim, end in zip(claims, chosen, strict=True)]
        failed = [test for test in tests if test.has_failed]
        told = (tuple(test.claim for test in failed), failed[0].mistake if failed else None)
        pages[told].add(feedback(made(tests=[public, *tests])))

    assert 1 + (2 ** len(claims) - 1) * 5 == len(pages)
    assert {1} == {len(different) for different in pages.values()}


def test_the_page_of_a_chapter_carries_no_more_bits_than_security_md_says():
    """One bit for each claim of a hidden test and nine for each exercise are less than the number in SECURITY.md."""
    root = TESTS.parent
    bits = {
        chapter.id: len({(test.exercise, test.claim) for test in hidden_tests(chapter)})
        + BITS_FOR_AN_EXERCISE * len(chapter.exercises)
        for chapter in load_course(root).chapters
    }

    assert len(Mistake) * len(Outcome) <= 2**BITS_FOR_AN_EXERCISE
    assert max(bits.values()) <= BITS_IN_A_CHAPTER, bits
    words = " ".join((root / "SECURITY.md").read_text().split())
    assert (
        f"one bit for each claim and {BITS_FOR_AN_EXERCISE} for each exercise, "
        f"fewer than {BITS_IN_A_CHAPTER} for any chapter" in words
    )


def test_what_is_wrong_with_a_file_is_told_once(batch, submit, grade_class):
    """A file that cannot be imported is explained once; exercises that share it refer to that, and no hidden claim is listed."""
    folder = submit("slip", {"ch01_arithmetic/arithmetic.py": "def gcd(:\n"})

    page = feedback(grade_class(batch, folder)["slip"])

    error = "arithmetic.py cannot be imported: SyntaxError: invalid syntax"
    assert page.index(f"### `gcd`\n\n    {error}\n      arithmetic.py:1 in <module>\n        def gcd(:\n")
    assert f"### `sieve`\n\n    {error} (as told at gcd)\n\n### `tally`" in page
    assert 2 == page.count("SyntaxError")
    assert "idden test" not in page


def test_an_empty_file_is_called_empty(batch, submit, grade_class):
    """For an empty file the page says so once, with what to type, and lists no names that are not there."""
    folder = submit("empty", {"ch01_arithmetic/arithmetic.py": "\ufeff\n \n"})

    page = feedback(grade_class(batch, folder)["empty"])

    assert "    arithmetic.py is empty. Start from the stub: course reset ch01/gcd\n" in page
    assert "Known:" not in page
    assert page.count("arithmetic.py is empty") == 2


@pytest.mark.parametrize("wall", Wall)
def test_every_wall_is_named(wall):
    """The page names the kind of sandbox that the code ran in."""
    assert f" ({wall}).\n" in feedback(made(wall=wall))


def test_what_could_not_be_decided_is_neither_zero_nor_full():
    """The page says how many points wait for another machine, and not why a hidden test needs one."""
    hidden = made_test(hidden=True, outcome=Outcome.NOT_GRADABLE, mistake=None, explanation="needs the GPU of room 5")

    page = feedback(made(tests=[hidden], outcome=Outcome.NOT_GRADABLE, score=None))

    assert "4 points could not be decided on this machine" in page
    assert "gcd  ? of 4 not gradable" in page
    assert "    Hidden tests could not be decided on this machine.\n" in page
    assert "room 5" not in page


MARKUP = {
    "a script": "<script>alert(1)</script>",
    "an image": "![x](https://evil.example/x.png) <img src=x onerror=alert(1)>",
    "a link": "[click](javascript:alert(1)) <https://evil.example> https://evil.example",
    "a fence": "```\n</code></pre><script>alert(1)</script>\n```\n# 100 of 100 points",
    "a longer fence": "~~~~~~~~~~\n<b>\n~~~~~~~~~~",
    "a heading after blank lines": "\n\n\n# 100 of 100 points\n\n<b>all passed</b>",
    "underlines": "text\n====\n\n- - -\n\n> quoted\n\n1. listed\n\n| a |\n|---|\n| b |",
    "a reference": "[x]: https://evil.example\n\n[x]",
    "a comment": "<!--\n\n",
    "an entity": "&lt;b&gt; &#x202e; @everyone #1 :tada: $x$",
    "line ends of other kinds": "a\r# b\r\n\x0b# c\x0c# d\x85# e\u2028# f\u2029# g",
    "terminal and direction": "\x1b[2J\x9b31m\u202egnissap\u2066\udcff\0",
    "tabs": "\t\t<b>\n \t<b>",
}


@pytest.mark.parametrize("place", ["explanation", "test", "file", "reason", "submission"])
@pytest.mark.parametrize("text", MARKUP.values(), ids=MARKUP.keys())
def test_no_text_of_a_student_acts_on_a_page(text, place):
    """In no text of a student does a renderer find markup, or a terminal a control sequence."""
    page = feedback(
        made(
            tests=[made_test(**{place: text})] if place in {"explanation", "test"} else [],
            left_out=[LeftOut(**{"path": text, "reason": "r"} if place == "file" else {"path": "p", "reason": text})],
            submission=text if place == "submission" else "alice",
        )
    )

    tags = re.findall(r"<[^>]*>", MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(page))
    assert {"<h1>", "<h2>", "<h3>", "<p>", "<pre>", "<code>"} >= {tag.replace("/", "") for tag in tags}
    assert ["# Feedback", "## `ch01_arithmetic`", "### `gcd`"] == [
        line for line in page.split("\n") if line.startswith("#")
    ]
    assert all(char.isprintable() or char in "\n\t" for char in page)
    assert page.encode("utf-8")


def test_a_name_stays_on_its_line():
    """A file name with a line end in it cannot be taken for a line of the page."""
    page = feedback(made(left_out=[LeftOut(path="x\ngcd  4 of 4 passed", reason="is a link")]))

    assert "\n    x\\ngcd  4 of 4 passed: is a link\n" in page


def test_a_message_of_any_length_makes_a_page_of_some_pages():
    """Ten megabytes on one line are cut, and quickly."""
    tests = [made_test(explanation="x" * 10_000_000, test="t" * 10_000_000, claim="c" * 10_000_000)]
    start = time.process_time()

    page = feedback(made(tests=tests, left_out=[LeftOut(path="p" * 10_000_000, reason="r" * 10_000_000)]))

    assert len(page) < 120_000
    assert time.process_time() - start < 1.0


def made_test(**fields) -> ResultOfTest:
    """Return a failed public test, or what `fields` make of it."""
    usual = {
        "test": "assignments/ch01_arithmetic/test_arithmetic.py::test_gcd",
        "claim": "It holds.",
        "aspect": "equivalence",
        "hidden": False,
        "outcome": Outcome.FAILED,
        "explanation": "assert 1 == 2",
        "mistake": Mistake.CHECK,
        "world_sizes": (),
        "seconds": 0.1,
    }
    return ResultOfTest(**{**usual, **fields})


def made(*, tests=(), outcome=Outcome.FAILED, score=0.0, left_out=(), wall=Wall.NESTED, submission="alice"):
    """Return the result of a submission to a chapter of one exercise."""
    exercise = ResultOfExercise(
        exercise="gcd",
        points=4,
        score=score,
        outcome=outcome,
        explanation="Why.",
        hidden_explanation="",
        caveat="",
        world_sizes=(),
        seconds=0.1,
        tests=tuple(tests),
    )
    chapter = ResultOfChapter(
        chapter="ch01_arithmetic",
        course_digest="",
        judge="ended",
        judge_exit_code=0,
        judge_runs=1,
        taken=(TakenFile(file="arithmetic.py", bytes=5, sha256=""),),
        left_out=tuple(left_out),
        points=4,
        score=score or 0.0,
        exercises=(exercise,),
    )
    return SubmissionResult(
        schema_version=1,
        submission=submission,
        seed=7,
        wall=wall,
        points=4,
        score=score or 0.0,
        undecided_points=4 if score is None else 0,
        seconds=1.0,
        chapters=(chapter,),
    )
