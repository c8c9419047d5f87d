"""Baselines and assertions that the public and the hidden tests of sampler.py share."""

from torch.utils.data import DistributedSampler

from assignments.ch04_data_parallelism import programs_sampler as programs
from grader.harness import assert_each_returns


def of_torch(n, world, rank, *, shuffle, seed=0, epoch=0, drop_last=False):
    """Return the indices that torch's own sampler gives."""
    sampler = DistributedSampler(range(n), world, rank, shuffle=shuffle, seed=seed, drop_last=drop_last)
    sampler.set_epoch(epoch)
    return list(sampler)


def all_ranks(n, world, **options):
    """Return the arguments of one call for each rank."""
    return [{"n": n, "world": world, "rank": rank, **options} for rank in range(world)]


def run_calls(launch, calls, global_seed=0):
    """Call shard_indices in one process, once per dict of arguments."""
    shared = {"calls": calls, "global_seed": global_seed}
    return launch(programs.shard_indices, 1, shared=shared, process_group=False)


def assert_like_torch(launch, calls):
    """Every call gives what torch's sampler gives."""
    assert_given(run_calls(launch, calls), calls, [of_torch(**call) for call in calls])


def assert_given(run, calls, expected):
    """Every call ends as is expected; a known mistake is named."""
    assert_each_returns(run, "shard_indices", calls, expected, mistakes=_mistaken(calls, expected))


def _mistaken(calls, expected):
    """Return what known mistakes would give in each call."""
    full = [{"seed": 0, "epoch": 0, "drop_last": False, **call} for call in calls]

    def other(**changes):
        return [
            due
            if due is ValueError or not call["n"]
            else of_torch(
                **{name: change(call) for name, change in changes.items()},
                **{name: value for name, value in call.items() if name not in changes},
            )
            for call, due in zip(full, expected, strict=True)
        ]

    return {
        "the epoch is left out of the seed": other(epoch=lambda _: 0),
        "the seed is seed * epoch": other(seed=lambda call: call["seed"] * call["epoch"], epoch=lambda _: 0),
        "each rank has an order of its own": other(seed=lambda call: call["seed"] + call["rank"]),
        "what drop_last asks for is done the other way round": other(drop_last=lambda call: not call["drop_last"]),
        "contiguous blocks, where every world-th entry is due": [
            due if due is ValueError or not call["n"] else _block(call)
            for call, due in zip(full, expected, strict=True)
        ],
    }


def _block(call):
    """Return the rank's block of the order that the ranks share."""
    shards = [of_torch(**{**call, "rank": rank}) for rank in range(call["world"])]
    order = [index for turn in zip(*shards, strict=True) for index in turn]
    length = len(shards[0])
    return order[call["rank"] * length :][:length]


def assert_refused_among_others(launch, calls, wrong_ranks):
    """Every call with one of these ranks instead of its own is a ValueError, and every call as it is gives its indices.

    They come mixed: code that refuses everything, or says so, would pass a test of refusals alone.
    """
    mixed = [one for call in calls for one in (call, *(call | {"rank": rank} for rank in wrong_ranks))]
    expected = [ValueError if call["rank"] in wrong_ranks else of_torch(**call) for call in mixed]
    assert_given(run_calls(launch, mixed), mixed, expected)
