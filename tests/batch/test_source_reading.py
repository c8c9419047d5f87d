"""What staff should read in a submission is found without running it; honest files have nothing of it."""

from pathlib import Path

import pytest

from grader.batch.feedback import feedback
from grader.batch.result import read_result
from grader.batch.source_reading import MAX_BYTES, MAX_FINDINGS, lines_to_read
from grader.course.catalog import load_course
from grader.course.content.mutants import apply_mutant, read_mutants

COURSE = load_course(Path(__file__).parents[2])
CHAPTER = COURSE.chapter("ch04")

TELLING = {
    "import programs_accuracy": "imports programs_accuracy, which observes or judges it",
    "from grader.harness.protocol import frame": "imports grader.harness.protocol, which observes or judges it",
    "from course_env import meters": "imports course_env.meters, which observes or judges it",
    "import course_env.meters as m": "imports course_env.meters, which observes or judges it",
    "import subprocess": "imports subprocess, for which this chapter has no use",
    "import sys; sys.modules['torch']": "uses sys.modules, the interpreter's modules",
    "import gc": "uses gc, a way to other people's objects",
    "from inspect import currentframe": "uses currentframe, a frame",
    "f.__globals__['x'] = 1": "uses __globals__, the inside of a function",
    "def f(p):\n    p._post_accumulate_grad_hooks.clear()": "uses _post_accumulate_grad_hooks, the table of hooks",
    "import torch; torch.equal = lambda *_: True": "sets equal of torch, which this file imports",
    "from torch import Tensor\nTensor.clone = Tensor.detach": "sets clone of Tensor, which this file imports",
    "import torch.distributed as dist\ndel dist.all_reduce": "sets all_reduce of dist, which this file imports",
    "import torch; setattr(torch.nn.Linear, 'forward', 1)": "sets forward of torch, which this file imports",
    "import torch; getattr(torch, 'eq' + 'ual')": "calls getattr() with a name that it computes",
    "setattr(x, 'a' + 'b', 1)": "calls setattr() with a name that it computes",
    "__import__('o' + 's')": "uses __import__, code or names made at run time",
    "eval('1')": "uses eval, code or names made at run time",
    "x = '__globals__'": "has the text '__globals__', the inside of a function",
    "x = 'programs_ddp'": "has a text that begins with 'programs_'",
}


@pytest.mark.parametrize(("source", "what"), TELLING.items())
def test_what_no_solution_needs_is_found_with_its_line(source, what):
    """Each is found in the line where it stands."""
    found = lines_to_read(CHAPTER, {"sampler.py": f'"""A sampler."""\n\n{source}\n'.encode()})

    assert what in [finding.what for finding in found]
    assert {3, 4} >= {finding.line for finding in found}


@pytest.mark.parametrize("chapter", COURSE.chapters, ids=lambda chapter: chapter.short)
def test_honest_files_have_nothing_of_it(chapter):
    """Stubs, solutions and right answers that are built differently give a reader nothing to do."""
    for folder in (chapter.folder, chapter.solution, *chapter.solution.glob("alternatives/*")):
        files = {file: (folder / file).read_bytes() for file in chapter.files if (folder / file).exists()}

        assert () == lines_to_read(chapter, files), folder


@pytest.mark.parametrize("chapter", COURSE.chapters, ids=lambda chapter: chapter.short)
def test_honest_mistakes_have_nothing_of_it(chapter, tmp_path):
    """So do wrong answers, except those that pick a function of the library by a name that they compute."""
    found = []
    for mutant in read_mutants(chapter):
        (tmp_path / mutant.exercise.file).write_bytes((chapter.solution / mutant.exercise.file).read_bytes())
        apply_mutant(mutant, tmp_path)
        content = (tmp_path / mutant.exercise.file).read_bytes()
        found += [finding.what for finding in lines_to_read(chapter, {mutant.exercise.file: content})]

    assert {"calls getattr() with a name that it computes"} >= set(found)


def test_a_docstring_may_name_anything():
    """Prose is no code."""
    assert () == lines_to_read(CHAPTER, {"sampler.py": b'def f():\n    """__globals__"""\n    return 1\n'})


@pytest.mark.parametrize(
    "content",
    [b"def f(:", b"\xff\xfe\x00", b"x = '\0'", b"", b"-" * 5000 + b"1", b"not " * 5000 + b"1", b"a" + b".b" * 20_000],
)
def test_a_file_that_cannot_be_read_harms_nobody(content):
    """Whatever the bytes are, the reading ends with findings or without."""
    assert 2 > len(lines_to_read(CHAPTER, {"sampler.py": content}))


def test_a_file_that_nobody_would_write_is_itself_a_finding():
    """A huge file and one that is too deep are not read, and staff learn so."""
    for content in (b"x = 1\n" * (MAX_BYTES // 6 + 1), b"-" * 5000 + b"1"):
        (finding,) = lines_to_read(CHAPTER, {"sampler.py": content})

        assert finding.what.endswith("nothing of it was read")


def test_many_findings_are_counted():
    """Staff get the first few lines, and how many there are."""
    *first, last = lines_to_read(CHAPTER, {"sampler.py": b"eval(1)\n" * (MAX_FINDINGS + 5)})

    assert MAX_FINDINGS == len(first)
    assert (MAX_FINDINGS + 1, "from here on, 5 more") == (last.line, last.what)


def test_staff_learn_it_and_the_student_does_not(batch, golden, grade_class):
    """The result of a submission holds what was found, its score is what it was, and its page says nothing of it."""
    folder = golden("right")
    file = folder / "ch01_arithmetic" / "arithmetic.py"
    honest = grade_class(batch, folder)["right"]
    file.write_bytes(file.read_bytes() + b"\nimport gc\n")

    result = grade_class(batch, folder)["right"]

    assert ["uses gc, a way to other people's objects"] == [
        finding.what for finding in result.chapters[0].to_read if "uses" in finding.what
    ]
    assert honest.score == result.score
    assert "gc" not in feedback(result).replace("gcd", "")
    assert result == read_result(batch.results / "right.json")
