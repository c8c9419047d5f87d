"""Interpreters that student code starts find, behind every wall, what multiprocessing and torch promise them."""

import pytest

from grader.harness.launch.zygote_handle import ZygoteHandle
from grader.harness.protocol.wall import Wall
from grader.harness.trials import walls
from tests.harness.ranks import Ranks

METHODS = ("fork", "forkserver", "spawn")
START = """
import multiprocessing

def started(method, target, *args):
    process = multiprocessing.get_context(method).Process(target=target, args=args)
    process.start()
    process.join(60)
    return process.exitcode
"""


@pytest.fixture(scope="module", params=[*Wall])
def zygote(request):
    """One zygote for each wall."""
    if (reason := walls.problem(request.param)) is not None:
        pytest.skip(f"This machine has no wall '{request.param}': {reason}")
    with ZygoteHandle(wall=request.param, preload=[]) as running:
        yield running


@pytest.fixture
def ranks(zygote, tmp_path):
    """Launches of student code that the test writes, behind each wall."""
    return Ranks(zygote, tmp_path)


def solve(ranks: Ranks, code: str, **options):
    """Return what `solve()` of this code, which may start processes, returns on one rank."""
    ranks.write(START + code)
    return ranks.run(1, process_group=False, children=True, timeout_s=90, **options)["value"][0]


@pytest.mark.parametrize("method", METHODS)
def test_a_child_runs_the_students_function(ranks, method):
    """A function of the student's file runs in a child of every start method, and what it sends arrives."""
    code = """
def answer(pipe):
    import programs
    pipe.send(programs.__name__)

def solve(method):
    ours, theirs = multiprocessing.get_context(method).Pipe()
    return [started(method, answer, theirs), ours.recv()]
"""

    assert solve(ranks, code, method=method) == [0, "programs"]


@pytest.mark.parametrize("method", METHODS)
def test_children_share_locks_and_queues(ranks, method):
    """Queues, locks, events and shared memory work: without them an honest launcher would fail."""
    code = """
from multiprocessing import shared_memory

def answer(queue, lock, event, name):
    block = shared_memory.SharedMemory(name)
    with lock:
        block.buf[0] = 7
    block.close()
    event.set()
    queue.put("done")

def solve(method):
    context = multiprocessing.get_context(method)
    block = shared_memory.SharedMemory(create=True, size=1)
    queue, lock, event = context.Queue(), context.Lock(), context.Event()
    try:
        code = started(method, answer, queue, lock, event, block.name)
        return [code, queue.get(timeout=10), event.is_set(), block.buf[0]]
    finally:
        block.close()
        block.unlink()
"""

    assert solve(ranks, code, method=method) == [0, "done", True, 7]


def test_tensors_travel_through_queues(ranks):
    """A tensor goes to another process through shared memory, from a fresh interpreter too."""
    code = """
def answer(queue, leave):
    import torch
    queue.put(torch.arange(3))
    leave.wait()

def solve():
    import torch.multiprocessing
    context = torch.multiprocessing.get_context("spawn")
    queue, leave = context.SimpleQueue(), context.Event()
    process = context.Process(target=answer, args=(queue, leave))
    process.start()
    numbers = queue.get().tolist()
    leave.set()
    process.join()
    return [process.exitcode, numbers]
"""

    assert solve(ranks, code) == [0, [0, 1, 2]]


def test_student_code_does_not_find_the_zygote_as_the_main_module(ranks):
    """The main module is an empty one: a fresh interpreter imports the main module again, which must cost it nothing."""
    code = """
import __main__, sys

def answer(pipe):
    pipe.send([name for name in sys.modules if name.startswith("grader.harness.inside")])

def solve():
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    return [started("spawn", answer, theirs), ours.recv(), sorted(set(vars(__main__)) - set(vars(type(sys)("x"))))]
"""

    assert solve(ranks, code) == [0, [], []]


@pytest.mark.parametrize("children", [False, True])
def test_behind_landlock_shared_memory_of_others_stays_secret(tmp_path, children):
    """Ranks cannot list /dev/shm; only those that may start processes can open a file there, and no other folder's."""
    if (reason := walls.problem(Wall.LANDLOCK)) is not None:
        pytest.skip(f"This machine has no wall 'landlock': {reason}")
    with ZygoteHandle(wall=Wall.LANDLOCK, preload=[]) as zygote:
        ranks = Ranks(zygote, tmp_path)
        ranks.write(
            """
            import os
            def attempt(action, *args):
                try:
                    return action(*args) and "done"
                except PermissionError:
                    return "refused"
            def solve():
                mine = f"/dev/shm/{os.getpid()}-{os.urandom(8).hex()}"
                made = attempt(open, mine, "w")
                if made == "done":
                    os.unlink(mine)
                return [attempt(os.listdir, "/dev/shm"), attempt(os.mkdir, mine), made, os.getcwd().split("/")[1:3]]
            """
        )
        listed, folder, made, home = ranks.run(1, process_group=False, children=children)["value"][0]

    assert (listed, folder, made) == ("refused", "refused", "done" if children else "refused")
    assert home != ["dev", "shm"]
