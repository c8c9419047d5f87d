"""Public tests of exercise `ring_shift`."""

import pytest
import torch

from assignments.ch02_distributed_programming import programs
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
@pytest.mark.parametrize(("world_size", "numel"), [(2, 37), (3, 37), (4, 13_001)])
def test_one_send_and_one_receive_per_rank(launch, world_size, numel):
    """Every rank sends its tensor once, receives once and waits for both; no tensor makes a detour."""
    xs = [torch.randn(numel, dtype=torch.float64) for _ in range(world_size)]
    run = launch(programs.ring_shift, world_size, per_rank={"x": xs})
    assert_matches(run["y"], PerRank(torch.roll(torch.stack(xs), 1, dims=0)))
    run.comm.assert_only("send", "recv")
    run.comm.assert_waited_for()
    assert run.comm.messages_sent_per_rank() == (1,) * world_size
    assert run.comm.messages_received_per_rank() == (1,) * world_size
    assert run.comm.bytes_sent_per_rank() == (numel * 8,) * world_size


@exercise("ring_shift", aspect="property")
@pytest.mark.parametrize(("world_size", "shift"), [(1, 1), (3, -3)])
def test_nothing_is_sent_when_nothing_moves(launch, world_size, shift):
    """A shift by a multiple of N communicates nothing."""
    xs = [torch.randn(37, dtype=torch.float64) for _ in range(world_size)]
    run = launch(programs.ring_shift, world_size, per_rank={"x": xs}, shared={"shift": shift})
    assert_matches(run["y"], PerRank(xs))
    assert run.comm.count() == 0


@exercise("ring_shift", aspect="robustness")
def test_a_sub_group_has_a_ring_of_its_own(launch):
    """In the group of ranks 1 and 3 the two exchange their tensors; nobody else takes part."""
    xs = [torch.randn(7, dtype=torch.float64) for _ in range(4)]
    run = launch(programs.ring_shift, 4, per_rank={"x": xs}, shared={"members": [1, 3]})
    assert_matches(run["y"], PerRank([None, xs[3], None, xs[1]]))


@exercise("ring_shift", aspect="robustness")
@pytest.mark.parametrize(("world_size", "strided"), [(1, False), (3, False), (3, True)])
def test_the_callers_tensor_is_left_alone(launch, world_size, strided):
    """The input may have strides, keeps its values, and shares no memory with the result."""
    xs = [torch.randn(4, 5, dtype=torch.float64) for _ in range(world_size)]
    run = launch(programs.ring_shift, world_size, per_rank={"x": xs}, shared={"strided": strided})
    assert_matches(run["y"], PerRank(torch.roll(torch.stack(xs), 1, dims=0)))
    assert_matches(run["x"], PerRank(xs), what="x after the call")
    assert_arguments_kept(run, "x")
