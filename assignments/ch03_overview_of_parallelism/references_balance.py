"""Baselines and assertions that the public and the hidden tests of balance.py share."""

from itertools import accumulate, combinations, pairwise

import torch

from course_env.rank_programs import call_each

GPT2 = [39_383_808, *[7_087_872] * 12, 38_598_912]  # embeddings, blocks, last LayerNorm and head


def longest(costs, counts):
    """Return what the most expensive stage costs."""
    return max(sum(costs[start:end]) for start, end in pairwise(accumulate(counts, initial=0)))


def best_of_all(costs, stages):
    """Return the best split, by trying all of them."""
    cuts = combinations(range(1, len(costs)), stages - 1)
    splits = [[end - start for start, end in pairwise((0, *cut, len(costs)))] for cut in cuts]
    return min(splits, key=lambda counts: (longest(costs, counts), counts))


def assert_splits(launch, cases, expected):
    """Every case is split as expected."""
    calls = [{"costs": costs, "stages": stages} for costs, stages in cases]
    run = launch(call_each, 1, shared={"function": "partition_layers", "calls": calls}, process_group=False)
    for (costs, stages), found, due in zip(cases, run["values"][0], expected, strict=True):
        assert found == due, f"partition_layers({costs}, {stages}) is {found}, and {due} is better"


def drawn(num_layers, most):
    """Return costs from 0 to `most`."""
    return torch.randint(most + 1, (num_layers,)).tolist()
