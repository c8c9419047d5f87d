"""Public tests of exercise `ring_shift`."""

import pytest
import torch

from assignments.ch02_distributed_programming import programs
from assignments.ch02_distributed_programming.references import assert_bytes, assert_messages, assert_silent
from grader.harness import PerRank, assert_arguments_kept, assert_matches, exercise


@exercise("ring_shift", aspect="equivalence")
@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_every_rank_gets_its_neighbours_tensor(launch, world_size):
    """Rank r ends with the tensor of rank r - 1, and rank 0 with that of the last rank."""
    xs = [torch.randn(37, dtype=torch.float64) for _ in range(world_size)]
    run = launch(programs.ring_shift, world_size, per_rank={"x": xs})
    run.comm.assert_only("send", "recv")
    assert_matches(run["y"], PerRank(torch.roll(torch.stack(xs), 1, dims=0)))


@exercise("ring_shift", aspect="equivalence")
@pytest.mark.parametrize(("world_size", "shift"), [(3, -1), (4, 2), (3, 5)])
def test_any_shift(launch, world_size, shift):
    """A shift may be negative, even, or larger than the ring."""
    xs = [torch.randn(2, 5, dtype=torch.float64) for _ in range(world_size)]
    run = launch(programs.ring_shift, world_size, per_rank={"x": xs}, shared={"shift": shift})
    run.comm.assert_only("send", "recv")
    assert_matches(run["y"], PerRank(torch.roll(torch.stack(xs), shift, dims=0)))


@exercise("ring_shift", aspect="property")
@pytest.mark.parametrize(
    ("world_size", "numel", "dtype"),
    [(2, 37, torch.float64), (3, 37, torch.float32), (4, 13_001, torch.float64), (4, 26_001, torch.bfloat16)],
)
def test_one_send_and_one_receive_per_rank(launch, world_size, numel, dtype):
    """Every rank sends its tensor once, in its own dtype, receives once and waits for both; no tensor makes a detour."""
    xs = [torch.randn(numel).to(dtype) for _ in range(world_size)]
    run = launch(programs.ring_shift, world_size, per_rank={"x": xs})
    assert_matches(run["y"], PerRank(torch.roll(torch.stack(xs), 1, dims=0)), rtol=0.0)
    run.comm.assert_only("send", "recv")
    run.comm.assert_waited_for()
    assert_messages(run.comm, (1,) * world_size, (1,) * world_size)
    assert_bytes(run.comm, (numel * dtype.itemsize,) * world_size)


@exercise("ring_shift", aspect="property")
@pytest.mark.parametrize(("world_size", "shift"), [(1, 1), (3, -3)])
def test_nothing_is_sent_when_nothing_moves(launch, world_size, shift):
    """A shift by a multiple of N communicates nothing."""
    xs = [torch.randn(37, dtype=torch.float64) for _ in range(world_size)]
    run = launch(programs.ring_shift, world_size, per_rank={"x": xs}, shared={"shift": shift})
    assert_matches(run["y"], PerRank(xs))
    assert_silent(run.comm, f"where a ring of {world_size} is shifted by {shift}")


@exercise("ring_shift", aspect="robustness")
def test_a_sub_group_has_a_ring_of_its_own(launch):
    """In the group of ranks 1 and 3 the two exchange their tensors; nobody else takes part."""
    xs = [torch.randn(7, dtype=torch.float64) for _ in range(4)]
    run = launch(programs.ring_shift, 4, per_rank={"x": xs}, shared={"members": [1, 3]})
    assert_matches(run["y"], PerRank([None, xs[3], None, xs[1]]))


@exercise("ring_shift", aspect="robustness")
@pytest.mark.parametrize("layout", [None, "scaled", "transposed"])
@pytest.mark.parametrize(("world_size", "shift"), [(1, 1), (3, 1), (2, -2)])
def test_the_callers_tensor_is_left_alone(launch, world_size, shift, layout):
    """The input may have strides or be transposed, keeps its values, and shares no memory with the result."""
    xs = [torch.randn(4, 5, dtype=torch.float64) for _ in range(world_size)]
    run = launch(programs.ring_shift, world_size, per_rank={"x": xs}, shared={"shift": shift, "layout": layout})
    assert_arguments_kept(run, "x")
    assert_matches(run["y"], PerRank(torch.roll(torch.stack(xs), shift, dims=0)))
    assert_matches(run["x"], PerRank(xs), what="x after the call")


@exercise("ring_shift", aspect="robustness")
@pytest.mark.parametrize("layout", ["scaled", "transposed"])
@pytest.mark.parametrize(("world_size", "shift"), [(1, 0), (3, 1)])
def test_the_result_is_contiguous(launch, world_size, shift, layout):
    """The result's elements lie one after another in memory, whatever strides x has, also where it is only a copy."""
    xs = [torch.randn(4, 5, dtype=torch.float64) for _ in range(world_size)]
    run = launch(programs.ring_shift, world_size, per_rank={"x": xs}, shared={"shift": shift, "layout": layout})
    due = torch.roll(torch.stack(xs), shift, dims=0)
    assert_matches(run["y"], PerRank(due))
    what = "the result as it lies in memory, where it must be contiguous,"
    assert_matches(run["memory"], PerRank(due.flatten(1)), what=what)
