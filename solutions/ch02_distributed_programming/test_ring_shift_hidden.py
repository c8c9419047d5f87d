"""Hidden tests of exercise `ring_shift`."""

import pytest
import torch

from assignments.ch02_distributed_programming import programs
from assignments.ch02_distributed_programming.references import assert_bytes, assert_messages
from grader.harness import PerRank, assert_matches, exercise


@exercise("ring_shift", aspect="equivalence")
@pytest.mark.parametrize(("world_size", "shift"), [(1, -2), (3, -7), (8, 4)])
def test_the_shift_counts_modulo_the_ring(launch, world_size, shift):
    """Rank r gets the tensor of rank (r - shift) % N for every N and every shift."""
    xs = [torch.randn(3, 2, 2, dtype=torch.float64) for _ in range(world_size)]
    run = launch(programs.ring_shift, world_size, per_rank={"x": xs}, shared={"shift": shift})
    run.comm.assert_only("send", "recv")
    assert_matches(run["y"], PerRank(torch.roll(torch.stack(xs), shift, dims=0)))


@exercise("ring_shift", aspect="property")
@pytest.mark.parametrize(("world_size", "shape"), [(5, (5, 3)), (4, (131, 101))])
def test_tensors_go_straight_to_where_they_belong(launch, world_size, shape):
    """A shift by three places is one message per rank, not three hops."""
    xs = [torch.randn(shape, dtype=torch.float64) for _ in range(world_size)]
    run = launch(programs.ring_shift, world_size, per_rank={"x": xs}, shared={"shift": 3})
    assert_matches(run["y"], PerRank(torch.roll(torch.stack(xs), 3, dims=0)))
    run.comm.assert_waited_for()
    assert_messages(run.comm, (1,) * world_size, (1,) * world_size)
    for op in run.comm.ops("send"):
        due = (op.rank + 3) % world_size
        assert op.peer == due, f"Rank {op.rank} sent to rank {op.peer}, and its tensor is due on rank {due}."
    assert_bytes(run.comm, (xs[0].numel() * 8,) * world_size)


@exercise("ring_shift", aspect="robustness")
def test_the_order_of_the_group_is_the_order_of_the_ring(launch):
    """In a group whose ranks are the global ranks 3, 0, 2, each gets the tensor of the one before in that list."""
    xs = [torch.randn(7, dtype=torch.float64) for _ in range(4)]
    run = launch(programs.ring_shift, 4, per_rank={"x": xs}, shared={"members": [3, 0, 2]})
    assert_matches(run["y"], PerRank([xs[3], None, xs[0], xs[2]]))


@exercise("ring_shift", aspect="robustness")
@pytest.mark.parametrize("late_rank", [0, 2])
def test_a_late_rank_receives_what_was_sent_to_it(launch, late_rank):
    """A tensor on its way to a rank that comes late is not overwritten by what arrives meanwhile."""
    xs = [torch.randn(37, dtype=torch.float64) for _ in range(3)]
    late_s = [0.15 if rank == late_rank else 0.0 for rank in range(3)]
    run = launch(programs.ring_shift, 3, per_rank={"x": xs, "late_s": late_s})
    assert_matches(run["y"], PerRank(torch.roll(torch.stack(xs), 1, dims=0)))


@exercise("ring_shift", aspect="robustness")
def test_any_shape_and_dtype(launch):
    """A single number, an empty tensor, integers, truth values and short floats arrive bit by bit as they were sent."""
    kinds = [
        ((), torch.float64),
        ((3, 0, 2), torch.float64),
        ((2, 3), torch.int64),
        ((5,), torch.bool),
        ((37,), torch.float32),
        ((7,), torch.bfloat16),
        ((5,), torch.int16),
        ((3, 3), torch.float16),
    ]
    cases = [[torch.randn(shape).mul(10).to(dtype) for _ in range(3)] for shape, dtype in kinds]
    arguments = [[{"x": x, "shift": -1} for x in xs] for xs in zip(*cases, strict=True)]
    run = launch(programs.in_sequence, 3, per_rank={"cases": arguments}, shared={"program": "ring_shift"})
    assert_matches(run["ys"], PerRank([xs[(rank + 1) % 3] for xs in cases] for rank in range(3)), rtol=0.0)
