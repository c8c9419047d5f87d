"""Public tests of exercise `shard_indices`."""

import pytest
import torch

from assignments.ch04_data_parallelism.references_sampler import (
    all_ranks,
    assert_given,
    assert_like_torch,
    assert_refused_among_others,
    run_calls,
)
from grader.harness import exercise


@exercise("shard_indices", aspect="equivalence")
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("drop_last", [False, True])
def test_the_indices_are_those_of_torch(launch, shuffle, drop_last):
    """For any number of examples and ranks, every rank reads what torch's DistributedSampler would give it."""
    sizes = [(7, 2), (8, 2), (10, 4), (11, 4), (5, 1), (37, 8), (4, 4)]
    options = {"shuffle": shuffle, "drop_last": drop_last, "seed": 3, "epoch": 2}
    assert_like_torch(launch, [call for n, world in sizes for call in all_ranks(n, world, **options)])


@exercise("shard_indices", aspect="equivalence")
def test_seven_examples_on_two_ranks(launch):
    """Rank 0 reads 0, 2, 4, 6, and rank 1 reads 1, 3, 5 and, to fill up, 0 once more."""
    calls = all_ranks(7, 2, shuffle=False) + all_ranks(7, 2, shuffle=False, drop_last=True)
    assert_given(run_calls(launch, calls), calls, [[0, 2, 4, 6], [1, 3, 5, 0], [0, 2, 4], [1, 3, 5]])


@exercise("shard_indices", aspect="property")
@pytest.mark.parametrize(("n", "world"), [(40, 8), (41, 8)])
def test_ranks_cover_the_examples_without_overlap(launch, n, world):
    """Together the ranks read every example, once but for the padding, and all read equally many."""
    (shards,) = run_calls(launch, all_ranks(n, world, shuffle=True, seed=5))["values"]
    read = [index for shard in shards for index in shard]
    assert {len(shard) for shard in shards} == {-(-n // world)}
    assert set(read) == set(range(n))
    assert len(read) - len(set(read)) == -n % world


@exercise("shard_indices", aspect="property")
def test_every_epoch_has_another_order(launch):
    """The order of an epoch follows from seed + epoch and nothing else."""
    calls = [
        {"n": 50, "world": 2, "rank": 1, "shuffle": True, "seed": s, "epoch": e} for s, e in ((4, 0), (4, 1), (3, 2))
    ]
    ((first, second, same_sum),) = run_calls(launch, calls)["values"]
    assert first != second, "Epochs 0 and 1 have the same order."
    assert second == same_sum, "Seed 4 in epoch 1 and seed 3 in epoch 2 must give the same order."


@exercise("shard_indices", aspect="robustness")
def test_a_rank_that_does_not_exist(launch):
    """A rank below 0, or not below the world size, is a ValueError."""
    assert_refused_among_others(launch, all_ranks(7, 2, shuffle=False), wrong_ranks=(-1, 2))
    assert_refused_among_others(launch, all_ranks(3, 1, shuffle=False), wrong_ranks=(1,))


@exercise("shard_indices", aspect="robustness")
def test_global_random_numbers_stay_as_they_were(launch):
    """Shuffling neither draws from torch's global generator nor seeds it."""
    run = run_calls(launch, all_ranks(20, 4, shuffle=True, seed=3, epoch=1), global_seed=71)
    due = torch.rand(4, generator=torch.Generator().manual_seed(71))
    if not all(torch.equal(due, drawn) for drawn in run["next"][0]):
        raise AssertionError(
            "torch's global random numbers were drawn from or seeded. Use a torch.Generator of your own."
        )
