"""Baselines and assertions that the public and the hidden tests of sampler.py share."""

from torch.utils.data import DistributedSampler

from assignments.ch04_data_parallelism import programs_sampler as programs
from course_env.rank_programs import error_types
from grader.harness import PerRank, assert_matches


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
    run = run_calls(launch, calls)
    assert_matches(run["errors"], PerRank([[""] * len(calls)]), what="errors")
    assert_matches(run["values"], PerRank([[of_torch(**call) for call in calls]]), what="indices")


def assert_refused_among_others(launch, calls, wrong_ranks):
    """Every call with one of these ranks instead of its own is a ValueError, and every call as it is gives its indices.

    They come mixed: code that refuses everything, or says so, would pass a test of refusals alone.
    """
    mixed = [one for call in calls for one in (call, *(call | {"rank": rank} for rank in wrong_ranks))]
    run = run_calls(launch, mixed)
    kinds = [["ValueError" if call["rank"] in wrong_ranks else "" for call in mixed]]
    assert_matches([error_types(errors) for errors in run["errors"]], kinds, what="the exceptions")
    expected = [None if call["rank"] in wrong_ranks else of_torch(**call) for call in mixed]
    assert_matches(run["values"], PerRank([expected]), what="indices")
