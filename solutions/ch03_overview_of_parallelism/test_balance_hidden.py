"""Hidden tests of exercise `partition_layers`."""

from itertools import combinations, pairwise

import torch

from assignments.ch03_overview_of_parallelism.references_balance import (
    GPT2,
    assert_as_good_as_any,
    assert_splits,
    drawn,
    longest,
)
from grader.harness import exercise


def best_of_all(costs, stages):
    """Return the best split, by trying all of them."""
    cuts = combinations(range(1, len(costs)), stages - 1)
    splits = [[end - start for start, end in pairwise((0, *cut, len(costs)))] for cut in cuts]
    return min(splits, key=lambda counts: (longest(costs, counts), counts))


@exercise("partition_layers", aspect="equivalence")
def test_other_costs(launch):
    """Of no split of up to twelve layers is the most expensive stage cheaper, be costs small or large."""
    cases = [(drawn(int(torch.randint(5, 13, ())), 9), int(torch.randint(2, 6, ()))) for _ in range(30)]
    assert_as_good_as_any(launch, cases)
    assert_as_good_as_any(launch, [([2**60 + cost for cost in drawn(9, 99)], stages) for stages in (2, 3, 4)])


@exercise("partition_layers", aspect="equivalence")
def test_other_stages_of_a_known_model(launch):
    """A known model is split as well as it can be on other numbers of stages."""
    assert_as_good_as_any(launch, [(GPT2, stages) for stages in (2, 3, 5, 8)])


@exercise("partition_layers", aspect="property")
def test_other_ties(launch):
    """Where several splits of other layers are as good, each stage in turn is as short as it can be."""
    cases = [(drawn(8, 2), 3) for _ in range(20)] + [([0] * 6, 3), ([0, 0, 0, 5], 3)]
    assert_splits(launch, cases, [best_of_all(*case) for case in cases])


@exercise("partition_layers", aspect="robustness")
def test_many_layers(launch):
    """Sixty layers on fifteen or sixteen stages are split in time; searching all splits would not end."""
    assert_splits(launch, [([7] * 60, 15)], [[4] * 15])
    assert_as_good_as_any(launch, [(drawn(60, 50), 16)])
