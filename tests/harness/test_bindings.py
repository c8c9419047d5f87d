"""What observes student code is out of its reach by name, and what it has replaced all the same is found."""

import pytest

from grader.harness.mistake import Mistake
from grader.harness.outcome import StudentFailure

OBSERVING = """
import torch
from torch.utils.data.distributed import DistributedSampler
from course_env.meters import SavedForBackward
from course_env.rank_programs import attempt

REFUSED = {DistributedSampler: "a sampler of your own"}

def observed():
    return "the truth"

def program(student):
    _, error = attempt(student.solve)
    with SavedForBackward() as saved:
        torch.ones(4, requires_grad=True).exp()
    return {"error": error, "saved": saved.num_bytes, "said": observed()}
"""
TRUTH = {"error": "", "saved": 16, "said": "the truth"}

BY_NAME = {
    "the program's helper": """
        import sys
        for module in list(sys.modules.values()):
            if hasattr(module, "observed"):
                module.observed = lambda: "a lie"
    """,
    "a helper of programs": """
        from course_env import rank_programs
        rank_programs.attempt = lambda *_: (None, "ValueError: refused")
    """,
    "a meter": """
        from course_env import meters
        meters.SavedForBackward.num_bytes = property(lambda self: 0, lambda self, value: None)
    """,
    "the program, imported anew": """
        import programs
        programs.observed = lambda: "a lie"
    """,
    "the harness": """
        from grader.harness.protocol import frame
        frame.pack = lambda *_: b""
    """,
}
WALK = """
import sys
frame = sys._getframe()
while "REFUSED" not in frame.f_globals and frame.f_back:
    frame = frame.f_back
theirs = frame.f_globals
"""
BEHIND_OUR_BACK = {
    "a function of the program": ("theirs['observed'] = lambda: 'a lie'", "programs.observed"),
    "its code": ("theirs['observed'].__code__ = (lambda: 'a lie').__code__", "programs.observed"),
    "its helper": ("theirs['attempt'] = lambda *_: (None, '')", "programs.attempt"),
    "a method of a meter": ("theirs['SavedForBackward']._pack = lambda self, tensor: tensor", "SavedForBackward._pack"),
    "torch": ("import torch; torch.ones = torch.zeros", "torch.ones"),
    "a method of torch": ("import torch; torch.Tensor.detach = torch.Tensor.clone", "Tensor.detach"),
    "a builtin": ("import builtins; builtins.hasattr = lambda *_: False", "builtins.hasattr"),
    "a name that covers a builtin": (
        "theirs['getattr'] = getattr; theirs['attempt'].__globals__['next'] = next",
        "next",
    ),
}


def indented(code: str, by: str = "    ") -> str:
    """Return code as the body of a function."""
    return "\n".join(by + line for line in code.strip().splitlines())


@pytest.mark.parametrize("code", BY_NAME.values(), ids=BY_NAME.keys())
def test_what_observes_cannot_be_reached_by_name(ranks, code):
    """Who imports what observes, or looks for it among the modules, when imported or when called, gets what observes nothing."""
    lines = [line.strip() if not line.startswith("    " * 3) else line[8:] for line in code.strip("\n").splitlines()]
    code = "\n".join(lines)
    ranks.write(f"{code}\ndef solve():\n{indented(code)}", OBSERVING)

    assert [TRUTH] * 2 == list(ranks.run(2).values)


@pytest.mark.parametrize(("code", "name"), BEHIND_OUR_BACK.values(), ids=BEHIND_OUR_BACK.keys())
def test_a_launch_in_which_something_that_observes_was_replaced_has_failed(ranks, code, name):
    """Whatever the program says then, the launch fails, with the name of what was replaced."""
    ranks.write(f"def solve():\n{indented(WALK)}\n    {code}", OBSERVING)

    with pytest.raises(StudentFailure, match=name) as failure:
        ranks.run(2, process_group=False)

    assert Mistake.OBSERVER_CHANGED == failure.value.mistake


def test_a_refused_class_is_closed_before_student_code_is_imported(ranks):
    """Nobody can keep the constructor that the refusal replaces."""
    ranks.write(
        "from torch.utils.data import DistributedSampler\n"
        "kept = DistributedSampler.__init__\n"
        "def solve():\n    kept(DistributedSampler.__new__(DistributedSampler), [1, 2], 1, 0)",
        OBSERVING,
    )

    with pytest.raises(StudentFailure, match=r"own DistributedSampler may not do this .* Write a sampler of your own"):
        ranks.run(1, process_group=False)


def test_processes_of_a_rank_find_the_program_by_name(ranks):
    """Where ranks may start processes, these unpickle the program's functions by the name of its module."""
    program = """
        def job(x):
            return x + 1
        def program(student):
            return {"value": student.solve(job)}
    """
    ranks.write(
        "import multiprocessing\n"
        "def solve(job):\n"
        "    with multiprocessing.get_context('fork').Pool(1) as pool:\n        return pool.apply(job, (1,))",
        program,
    )

    assert (2,) == ranks.run(1, process_group=False, children=True)["value"]
