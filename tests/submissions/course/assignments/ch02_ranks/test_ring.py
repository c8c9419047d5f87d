"""What a student sees of the grading of ring.py."""

import pytest
import torch
from assignments.ch02_ranks import programs

from grader.harness import PerRank, assert_matches, exercise


def one_per_rank(world_size, numel):
    """Return a different tensor for every rank."""
    return [torch.randn(numel, dtype=torch.float64) for _ in range(world_size)]


@exercise("sum_over_ranks", aspect="equivalence")
@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_every_rank_has_the_sum(launch, world_size):
    """Every rank ends with the sum over all ranks, and with its own tensor as it was."""
    xs = one_per_rank(world_size, 37)
    run = launch(programs.sum_over_ranks, world_size, per_rank={"x": xs})
    assert_matches(run["y"], sum(xs))
    assert_matches(run["x"], PerRank(xs))


@exercise("sum_over_ranks", aspect="property")
def test_the_ring_of_four_sends_as_little_as_can_be(launch):
    """Each rank sends 2 (N - 1) chunks of ceil(len / N) elements, in messages and nothing else."""
    world_size, numel = 4, 16_411
    xs = one_per_rank(world_size, numel)
    run = launch(programs.sum_over_ranks, world_size, per_rank={"x": xs})
    assert_matches(run["y"], sum(xs))  # of this run: one that only sends as it should has done nothing yet
    run.comm.assert_only("send", "recv")
    assert run.comm.messages_sent_per_rank() == (2 * (world_size - 1),) * world_size
    chunk_bytes = 8 * -(-numel // world_size)
    assert run.comm.bytes_sent_per_rank() == (2 * (world_size - 1) * chunk_bytes,) * world_size
