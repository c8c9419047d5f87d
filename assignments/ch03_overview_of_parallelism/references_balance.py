"""Baselines and assertions that the public and the hidden tests of balance.py share."""

from itertools import accumulate, pairwise

import torch

from course_env.rank_programs import call_each
from grader.harness import assert_each_returns
from grader.harness.mistake import Mistake

GPT2 = [39_383_808, *[7_087_872] * 12, 38_598_912]  # embeddings, blocks, last LayerNorm and head


def longest(costs, counts):
    """Return what the most expensive stage costs."""
    return max(sum(costs[start:end]) for start, end in pairwise(accumulate(counts, initial=0)))


def needs_more(costs, stages, limit):
    """Whether it takes more than `stages` stages to keep each of them within `limit`."""
    used, room = 1, limit
    for cost in costs:
        if cost > limit:
            return True
        if cost > room:
            used, room = used + 1, limit
        room -= cost
    return used > stages


def assert_as_good_as_any(launch, cases):
    """Every split is one, and none is better: with less for the most expensive stage there would be more stages."""
    calls = [{"costs": costs, "stages": stages} for costs, stages in cases]
    run = launch(call_each, 1, shared={"function": "partition_layers", "calls": calls}, process_group=False)
    for (costs, stages), found, error in zip(cases, run["values"][0], run["errors"][0], strict=True):
        told = f"partition_layers({costs}, {stages})"
        if error:
            raise AssertionError(f"{Mistake.EXCEPTION}\n{told} raised {error}, where an answer is due")
        kind, problem = wrong_with(costs, stages, found)
        if problem:
            raise AssertionError(f"{kind}\n{told} returned {found!r}: {problem}")


def wrong_with(costs, stages, found):
    """Return the kind of mistake of a split and what is wrong with it, or twice ""."""
    if not isinstance(found, list) or not all(isinstance(count, int) for count in found):
        return Mistake.TYPE, "a list of whole numbers is due"
    if len(found) != stages:
        return Mistake.LENGTH, f"these are {len(found)} stages"
    if sum(found) != len(costs):
        return Mistake.VALUES, f"these are {sum(found)} of {len(costs)} layers"
    if min(found) < 1:
        return Mistake.VALUES, "a stage has no layer"
    most = longest(costs, found)
    if not needs_more(costs, stages, most - 1):
        return Mistake.VALUES, f"the most expensive stage costs {most}, and a cheaper one is possible"
    return "", ""


def assert_splits(launch, cases, expected, *, why=None, mistakes=None):
    """Every case is split as expected."""
    calls = [{"costs": costs, "stages": stages} for costs, stages in cases]
    run = launch(call_each, 1, shared={"function": "partition_layers", "calls": calls}, process_group=False)
    assert_each_returns(run, "partition_layers", calls, expected, why=why, mistakes=mistakes)


def drawn(num_layers, most):
    """Return costs from 0 to `most`."""
    return torch.randint(most + 1, (num_layers,)).tolist()
