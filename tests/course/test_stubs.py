"""Stub generation: what the student gets of a solution, and what is refused."""

from textwrap import dedent

import pytest

from course_env.errors import CatalogError
from grader.course.catalog import Course, Exercise
from grader.course.content.stubs import chapter_stubs, generate_stub

SOLUTION = '''\
"""Rings."""

import torch

### BEGIN SOLUTION
import heapq  # only the solution needs it

### END SOLUTION


def shift(x: int) -> int:
    """Return x on the next rank."""
    size = len("public")
    ### BEGIN SOLUTION
    # A comment that tells the answer.
    return (x + 1) % size
    ### END SOLUTION


### BEGIN SOLUTION
def helper() -> None:
    """Only the solution needs this."""


### END SOLUTION


class Ring:
    """A ring."""

    ### BEGIN SOLUTION
    _start = 3

    ### END SOLUTION
    def turn(self, times: int) -> int:
        """Return where the ring stands."""
        if times > 0:
            ### BEGIN SOLUTION
            return self._start + times
            ### END SOLUTION
        return 0
'''

STUB = '''\
"""Rings."""

import torch


def shift(x: int) -> int:
    """Return x on the next rank."""
    size = len("public")
    # TODO(shift): write this part, and delete the line below.
    raise NotImplementedError("TODO(shift)")


class Ring:
    """A ring."""

    def turn(self, times: int) -> int:
        """Return where the ring stands."""
        if times > 0:
            # TODO(turn): write this part, and delete the line below.
            raise NotImplementedError("TODO(turn)")
        return 0
'''


def exercise(name: str, *symbols: str) -> Exercise:
    """Return an exercise in ring.py."""
    return Exercise(id=name, title="t", file="ring.py", symbols=symbols, points=1, source="s", hints=("h",))


EXERCISES = (exercise("shift", "shift"), exercise("turn", "Ring"))


def test_only_what_is_outside_the_regions_survives() -> None:
    """Gaps become TODOs; the solution's imports, helpers, attributes and comments go; all else stays to the letter."""
    assert generate_stub(SOLUTION, EXERCISES, where="ring.py") == STUB


def test_every_gap_of_the_mini_course_raises(course: Course) -> None:
    """Calling what the student must write raises NotImplementedError("TODO(<exercise>)")."""
    stubs = chapter_stubs(course.chapter("ch01"))
    student: dict[str, object] = {}
    exec(stubs["arithmetic.py"], student)

    with pytest.raises(NotImplementedError, match=r"^TODO\(sieve\)$"):
        student["is_prime"](3)  # type: ignore[operator]


def test_committed_stubs_of_the_mini_course_are_fresh(course: Course) -> None:
    """The mini course's own stubs are what its solutions give."""
    for chapter in course.chapters:
        for file, text in chapter_stubs(chapter).items():
            assert (chapter.folder / file).read_text() == text


def test_an_async_function_and_a_nested_function_are_gaps_of_their_symbol() -> None:
    """The symbol is the top-level name, however deep the region lies."""
    source = """\
    async def shift():
        async def inner():
            ### BEGIN SOLUTION
            return 1
            ### END SOLUTION

        return await inner()
    """

    assert 'raise NotImplementedError("TODO(shift)")' in generate_stub(dedent(source), EXERCISES[:1], where="ring.py")


def region(body: str) -> str:
    """Return a module whose `shift` has `body`, four spaces deep."""
    return "def shift(x):\n" + body


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (region("    ### BEGIN SOLUTION\n    return x\n"), "ring.py:2: the region has no '### END SOLUTION'. Add it below the region's last line."),
        (region("    return x\n    ### END SOLUTION\n"), "ring.py:3: '### END SOLUTION' without a '### BEGIN SOLUTION' above it. Add one, or delete this line."),
        (region("    ### BEGIN SOLUTION\n    x\n    ### BEGIN SOLUTION\n"), "ring.py:4: '### BEGIN SOLUTION' inside the region of line 2. Regions do not nest; end that one first."),
        (region("    ## Begin Solution\n    return x\n    ## end solution\n"), "ring.py:2: '## Begin Solution' is no marker. Write '### BEGIN SOLUTION' or '### END SOLUTION', alone on its line."),
        (region("    return x  ### BEGIN SOLUTION\n"), "ring.py:2: 'return x  ### BEGIN SOLUTION' is no marker. Write '### BEGIN SOLUTION' or '### END SOLUTION', alone on its line."),
        (region("    ### BEGIN SOLUTION\n    # nothing\n    ### END SOLUTION\n    return x\n"), "ring.py:2: the region holds no statement. Move the markers round the student's part."),
        (region("    if x:\n        y = 1\n        ### BEGIN SOLUTION\n        y = 2\n    return y\n    ### END SOLUTION\n"), "ring.py:4: the region cuts the statement of line 2 in two. Move the markers so that it is wholly inside or wholly outside."),
        (region("    ### BEGIN SOLUTION\n    for y in x:\n        print(y)\n        ### END SOLUTION\n        print(x)\n"), "ring.py:2: the region cuts the statement of line 3 in two. Move the markers so that it is wholly inside or wholly outside."),
        (region("    return max(\n        ### BEGIN SOLUTION\n        x\n        ### END SOLUTION\n    )\n"), "ring.py:3: the region holds no statement. Move the markers round the student's part."),
        (region("    return x\n"), "ring.py:1: 'shift' of exercise 'shift' has no gap. Put '### BEGIN SOLUTION' and '### END SOLUTION' round the part that the student writes."),
        (region("    ### BEGIN SOLUTION\n    return x\n    ### END SOLUTION\n").replace("shift", "shit"), "ring.py:2: the region stands in 'shit', which no exercise declares. Known: shift. Did you mean 'shift'?"),
        ("def shif():\n    pass\n", "ring.py: 'shift' of exercise 'shift' is not defined. Known: shif. Did you mean 'shif'?"),
        ("### BEGIN SOLUTION\ndef shift():\n    pass\n### END SOLUTION\n", "ring.py:2: 'shift' of exercise 'shift' has no gap. Put '### BEGIN SOLUTION' and '### END SOLUTION' round the part that the student writes."),
        ("if 1:\n    def shift():\n        ### BEGIN SOLUTION\n        pass\n        ### END SOLUTION\n", "ring.py:3: the region stands in a block that is no top-level function or class, which no exercise declares. Known: shift."),
        ("def shift(:\n", "ring.py:1: not valid Python: invalid syntax."),
    ],
)  # fmt: skip
def test_a_solution_that_gives_no_sound_stub_is_refused(source: str, message: str) -> None:
    """No stub is made of a faulty solution, and the error gives the line, the fault and what to do."""
    with pytest.raises(CatalogError) as error:
        generate_stub(source, EXERCISES[:1], where="ring.py")

    assert str(error.value) == message


def test_a_stub_that_would_not_compile_is_refused() -> None:
    """A solution with a block that holds only a region is refused: the block would be empty in the stub."""
    source = region("    ### BEGIN SOLUTION\n    return x\n    ### END SOLUTION\n") + (
        "if True:\n    ### BEGIN SOLUTION\n    import heapq\n    ### END SOLUTION\n"
    )

    with pytest.raises(
        CatalogError, match=r"^ring.py: without its regions the file is not valid Python: expected an indented"
    ):
        generate_stub(source, EXERCISES[:1], where="ring.py")


def test_a_missing_solution_is_named(course: Course) -> None:
    """The error about a missing solution names the file that the catalog declares."""
    (course.root / "solutions" / "ch02_text" / "cipher.py").unlink()

    with pytest.raises(CatalogError) as error:
        chapter_stubs(course.chapter("ch02"))

    assert str(error.value) == (
        "solutions/ch02_text/cipher.py: the file is missing. Write it, or fix the name in assignment.toml."
    )


def test_a_solution_that_is_not_utf8_is_named(course: Course) -> None:
    """The error about a solution that is not UTF-8 gives the file and the byte."""
    (course.root / "solutions" / "ch02_text" / "cipher.py").write_bytes(b"# \xff\n")

    with pytest.raises(CatalogError, match=r"cipher.py: not UTF-8: invalid start byte at byte 2. Save it as UTF-8."):
        chapter_stubs(course.chapter("ch02"))
