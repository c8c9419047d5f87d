"""What only staff see of the grading of ring.py."""

import torch
from grader.harness import PerRank, assert_matches, exercise

from assignments.ch02_ranks import programs


def one_per_rank(world_size, numel):
    """Return a different tensor for every rank."""
    return [torch.randn(numel, dtype=torch.float64) for _ in range(world_size)]


@exercise("sum_over_ranks", aspect="equivalence")
def test_four_ranks_have_the_sum(launch):
    """Four ranks agree as three do."""
    xs = one_per_rank(4, 37)
    run = launch(programs.sum_over_ranks, 4, per_rank={"x": xs})
    assert_matches(run["y"], sum(xs))
    assert_matches(run["x"], PerRank(xs))


@exercise("sum_over_ranks", aspect="property")
def test_the_ring_of_three_sends_as_little_as_can_be(launch):
    """Three ranks send what the optimum is for three."""
    world_size, numel = 3, 16_411
    xs = one_per_rank(world_size, numel)
    run = launch(programs.sum_over_ranks, world_size, per_rank={"x": xs})
    assert_matches(run["y"], sum(xs))  # of this run: one that only sends as it should has done nothing yet
    run.comm.assert_only("send", "recv")
    assert run.comm.messages_sent_per_rank() == (2 * (world_size - 1),) * world_size
    chunk_bytes = 8 * -(-numel // world_size)
    assert run.comm.bytes_sent_per_rank() == (2 * (world_size - 1) * chunk_bytes,) * world_size


@exercise("sum_over_ranks", aspect="robustness")
def test_one_element_on_two_ranks(launch):
    """A tensor with fewer elements than there are ranks is summed too."""
    xs = one_per_rank(2, 1)
    run = launch(programs.sum_over_ranks, 2, per_rank={"x": xs})
    assert_matches(run["y"], sum(xs))
