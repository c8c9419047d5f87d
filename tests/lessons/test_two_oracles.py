"""What chapter 3's `comm_bytes_per_step` says is what the code of chapters 4, 5 and 6 sends: two oracles for one number."""

from fractions import Fraction

import pytest

from course_env.gpt_config import GPTConfig
from course_env.layout import Layout
from grader.harness.launch.zygote_handle import ZygoteHandle
from grader.harness.protocol.wall import Wall
from tests.harness.ranks import Ranks
from tests.lessons.lesson import ROOT

BATCH, TOKENS, WIDTH = 2, 4, 8
FLOAT64 = 8

PROGRAMS = f"""
import torch
import torch.distributed as dist
from torch import nn

X = torch.ones({BATCH}, {TOKENS}, {WIDTH}, dtype=torch.float64)


def _once(layer, x):
    layer.double()(x.clone().requires_grad_()).sum().backward()
    return {{}}


def mlp(student):
    return _once(student.solve({WIDTH}, 4 * {WIDTH}), X)


def attention(student):
    return _once(student.solve({WIDTH}, 4, 4), X)


def sequence_cut(student, parts):
    part = X[:, : {TOKENS} // parts]
    return _once(student.solve({WIDTH}, nn.Identity(), nn.Identity()), part)


def pipeline(student, schedule, m):
    stage, last = dist.get_rank(), dist.get_world_size() - 1

    def loss_of(output, target):
        return (output - target).mean()

    part = nn.Linear({WIDTH}, {WIDTH}, dtype=torch.float64)
    runner = student.solve([part], loss_of, X.shape, torch.float64)
    inputs = [X.clone() for _ in range(m)]
    runner.run(schedule, inputs if stage == 0 else None, inputs if stage == last else None)
    return {{}}


def ddp(student):
    module = nn.Linear({WIDTH}, {WIDTH}, dtype=torch.float64)
    wrapped = student.solve(module)
    wrapped(X).sum().backward()
    wrapped.finish_grad_sync()
    return {{}}
"""


@pytest.fixture(scope="module")
def zygote():
    """One zygote with torch preloaded."""
    with ZygoteHandle(wall=Wall.NONE, preload=["torch"]) as running:
        yield running


@pytest.fixture
def comm_of(zygote, tmp_path):
    """Run a program with a solution's file on some ranks; return what was communicated."""

    def run(program, solution, symbol, world_size, **arguments):
        """Run it; the program finds the solution's function or class as `student.solve`."""
        ranks = Ranks(zygote, tmp_path)
        source = next(ROOT.glob(f"solutions/*/{solution}")).read_text(encoding="utf-8")
        ranks.write(f"{source}\n\nsolve = {symbol}\n", f"{PROGRAMS}\n\nprogram = {program}\n")
        return ranks.run(world_size, **arguments).comm

    return run


@pytest.fixture(scope="module")
def bytes_per_step():
    """Return chapter 3's function, as its solution has it."""
    names: dict = {}
    exec(next(ROOT.glob("solutions/*/communication.py")).read_text(encoding="utf-8"), names)
    return names["comm_bytes_per_step"]


def said(bytes_per_step, kind, *, n_params=0, n_layer=1, stage=0, **layout):
    """Return what chapter 3 says of `kind`."""
    cfg = GPTConfig(vocab_size=8, n_layer=n_layer, n_head=4, d_model=WIDTH, max_seq=TOKENS)
    parts = Layout(micro_batch=BATCH, **layout)
    return bytes_per_step(cfg, parts, n_params=n_params, stage=stage, bytes_per_value=FLOAT64)[kind]


@pytest.mark.parametrize("tp", [2, 4])
def test_tensor_parallelism(comm_of, bytes_per_step, tp):
    """A block's attention and MLP together send what chapter 3 says of one layer and one micro-batch."""
    attention = comm_of("attention", "attention.py", "ParallelSelfAttention", tp)
    mlp = comm_of("mlp", "linear.py", "ParallelMLP", tp)
    sent = [sum(both) for both in zip(attention.bytes_sent_per_rank(), mlp.bytes_sent_per_rank(), strict=True)]

    assert sent == [said(bytes_per_step, "tp", tp=tp)] * tp


@pytest.mark.parametrize("tp", [2, 4])
def test_sequence_parallelism(comm_of, bytes_per_step, tp):
    """The block of chapter 6 keeps what it gathered, and so lacks the two gathers in backward that chapter 3 counts."""
    sent = comm_of("sequence_cut", "sequence_parallel.py", "SPTransformerBlock", tp, parts=tp)
    once_more = 2 * Fraction(tp - 1, tp) * BATCH * TOKENS * WIDTH * FLOAT64

    assert list(sent.bytes_sent_per_rank()) == [said(bytes_per_step, "tp", tp=tp, sp=True) - once_more] * tp


@pytest.mark.parametrize(("pp", "m"), [(2, 1), (3, 4)])
def test_pipeline_parallelism(comm_of, bytes_per_step, pp, m):
    """Every stage of a pipeline sends what chapter 3 says of it."""
    actions = [("F", at, 0) for at in range(m)] + [("B", at, 0) for at in range(m)]
    schedule = tuple(tuple(actions) for _ in range(pp))
    comm = comm_of("pipeline", "pipeline_runner.py", "PipelineRunner", pp, schedule=schedule, m=m)

    due = [said(bytes_per_step, "pp", n_layer=pp, stage=stage, pp=pp, n_micro=m) for stage in range(pp)]
    assert list(comm.bytes_sent_per_rank()) == due


@pytest.mark.parametrize("dp", [2, 3])
def test_data_parallelism(comm_of, bytes_per_step, dp):
    """Gradients cost what chapter 3 says of plain data parallelism; flags for unused parameters come on top."""
    comm = comm_of("ddp", "naive_ddp.py", "NaiveDDP", dp)
    gradients = [
        sum(op.bytes_sent for op in comm.ops("all_reduce") if op.rank == rank and op.dtype == "float64")
        for rank in range(dp)
    ]

    assert gradients == [said(bytes_per_step, "dp", n_params=WIDTH * WIDTH + WIDTH, dp=dp)] * dp
