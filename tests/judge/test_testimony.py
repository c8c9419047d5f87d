"""What ranks say of themselves can be kept, and be said again by ranks that would say something else."""

import pytest

PROGRAMS = """
import torch
import torch.distributed as dist
from torch.utils.data.distributed import DistributedSampler

REFUSED = {DistributedSampler: "a sampler of your own"}

def total(student, x):
    calls = []
    return {"y": student.add(x, calls), "observed": {"calls": calls}}
"""
TESTS = '''
@exercise("add", aspect="equivalence")
def test_value(launch):
    """The value."""
    run = launch(programs.total, 2, shared={"x": 1})
    assert run["y"] == (2, 2)

@exercise("add", aspect="property")
def test_calls(launch):
    """One call, in an all-reduce."""
    run = launch(programs.total, 2, shared={"x": 1})
    assert run["y"] == (2, 2)
    assert run.observed("calls") == (["once"], ["once"])
    assert run.comm.count("all_reduce") == 2
'''
RIGHT = """
import torch, torch.distributed as dist

def add(x, calls):
    calls.append("once")
    y = torch.tensor(x)
    dist.all_reduce(y)
    return int(y)

def double(a):
    return a
"""
SECRETIVE = RIGHT.replace('"once"', '"twice"')
TALKATIVE = RIGHT.replace(
    "    dist.all_reduce(y)\n", "    dist.all_reduce(y)\n    dist.all_reduce(torch.zeros(9000))\n"
)
WRONG = RIGHT.replace("return int(y)", "return 7")
LIBRARY = RIGHT.replace("calls.append", "torch.utils.data.DistributedSampler([1], 1, 0); calls.append")


@pytest.fixture
def judged(course):
    """Return a function that judges a student's file, and gives the outcome of each test and whether it rests on ranks."""

    def judge(student: str, *arguments: str) -> dict[str, tuple[str, bool]]:
        course.write(TESTS, student=student, needs='["torch"]')
        (course.chapter / "programs.py").write_text(PROGRAMS)
        events = course.report(*arguments, "--seed", "1", "--exercise", "ch01/add")
        finished = [event for event in events if event["event"] == "finished"]
        return {event["test"].rpartition("::")[2]: (event["outcome"], event["rests_on_ranks"]) for event in finished}

    return judge


@pytest.fixture
def said(judged, tmp_path):
    """Return the option that has ranks say what those of the right answer said."""
    assert {"test_value": ("passed", False), "test_calls": ("passed", True)} == judged(
        RIGHT, "--testimony", str(tmp_path / "said")
    )
    return f"--forge={tmp_path / 'said'}"


def test_an_observation_alone_is_forged(judged, said):
    """A wrong call that only the program noted passes if the ranks say what those of the right answer said."""
    assert ("failed", True) == judged(SECRETIVE)["test_calls"]
    assert {"test_value": ("passed", False), "test_calls": ("passed", True)} == judged(SECRETIVE, said)


def test_what_the_kernel_counted_is_not_forged(judged, said):
    """Bytes that the forged record does not account for end the launch."""
    assert ("failed", True) == judged(TALKATIVE, said, "--wall", "nested")["test_calls"]


def test_a_value_is_not_forged(judged, said):
    """A wrong value fails whatever ranks say, and rests on nothing else."""
    assert {"test_value": ("failed", False), "test_calls": ("failed", False)} == judged(WRONG, said)


def test_a_refusal_is_forged(judged, said):
    """A class that is refused to honest code is open to code that gets round the refusal."""
    assert ("failed", True) == judged(LIBRARY)["test_value"]
    assert ("passed", False) == judged(LIBRARY, said)["test_value"]
