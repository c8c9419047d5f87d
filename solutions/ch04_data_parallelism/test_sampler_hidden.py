"""Hidden tests of exercise `shard_indices`."""

import pytest
import torch

from assignments.ch04_data_parallelism.references_sampler import (
    all_ranks,
    assert_like_torch,
    assert_refused_among_others,
    run_calls,
)
from grader.harness import PerRank, assert_matches, exercise


@exercise("shard_indices", aspect="equivalence")
@pytest.mark.parametrize("shuffle", [False, True])
def test_few_examples_and_many_ranks(launch, shuffle):
    """With fewer examples than ranks, down to a single one, ranks read what torch's sampler gives."""
    # torch fails for n = 0 without drop_last only where it divides by the length, so 0 is in a test of its own
    sizes = [(2, 5), (3, 8), (1, 4), (3, 4), (1, 1)]
    options = {"shuffle": shuffle, "seed": 1, "epoch": 6}
    calls = [call for n, world in sizes for call in all_ranks(n, world, **options)]
    assert_like_torch(launch, calls + [call | {"drop_last": True} for call in calls])


@exercise("shard_indices", aspect="equivalence")
def test_many_examples(launch):
    """Large numbers of examples, seeds and epochs give what torch's sampler gives."""
    calls = [
        {"n": n, "world": 7, "rank": rank, "shuffle": True, "seed": seed, "epoch": epoch, "drop_last": drop_last}
        for n in (1000, 1003)
        for rank in (0, 6)
        for seed, epoch in ((0, 0), (123456, 0), (17, 41))
        for drop_last in (False, True)
    ]
    assert_like_torch(launch, calls)


@exercise("shard_indices", aspect="property")
@pytest.mark.parametrize(("n", "world"), [(37, 4), (100, 7)])
def test_what_drop_last_drops(launch, n, world):
    """With drop_last no example is read twice, and fewer are left out than there are ranks."""
    (shards,) = run_calls(launch, all_ranks(n, world, shuffle=True, seed=2, epoch=9, drop_last=True))["values"]
    read = [index for shard in shards for index in shard]
    assert len(read) == len(set(read)) == n // world * world
    assert set(read) <= set(range(n))


@exercise("shard_indices", aspect="property")
def test_ranks_agree_on_the_order(launch):
    """The shards, dealt out in turn, make up one permutation, another one in each epoch."""
    orders = []
    for epoch in range(3):
        (shards,) = run_calls(launch, all_ranks(24, 4, shuffle=True, seed=8, epoch=epoch))["values"]
        orders.append([index for turn in zip(*shards, strict=True) for index in turn])
        assert sorted(orders[-1]) == list(range(24))
    assert orders[0] != orders[1] != orders[2] != orders[0]


@exercise("shard_indices", aspect="robustness")
def test_no_examples(launch):
    """With no examples at all, every rank's list is empty."""
    calls = [call for shuffle in (False, True) for call in all_ranks(0, 3, shuffle=shuffle)]
    run = run_calls(launch, calls + [call | {"drop_last": True} for call in calls])
    assert run["values"] == ([[]] * 12,)


@exercise("shard_indices", aspect="robustness")
def test_ranks_out_of_range(launch):
    """A rank below 0, or not below the world size, is a ValueError, also where there are no examples."""
    calls = all_ranks(4, 3, shuffle=True) + all_ranks(0, 3, shuffle=False)
    assert_refused_among_others(launch, calls, wrong_ranks=(-3, -1, 3, 7))


@exercise("shard_indices", aspect="robustness")
def test_what_a_call_draws_nobody_else_sees(launch):
    """With any options, calls leave torch's global random numbers as they were."""
    calls = [call | {"drop_last": drop} for drop in (False, True) for call in all_ranks(9, 2, shuffle=True, epoch=3)]
    run = run_calls(launch, calls + all_ranks(5, 2, shuffle=False), global_seed=5)
    due = torch.rand(4, generator=torch.Generator().manual_seed(5))
    assert_matches(run["next"], PerRank([[due] * 6]), what="what torch draws after the call", rtol=0.0)
