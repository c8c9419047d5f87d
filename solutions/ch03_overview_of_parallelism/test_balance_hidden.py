"""Hidden tests of exercise `partition_layers`."""

import torch

from assignments.ch03_overview_of_parallelism.references_balance import GPT2, assert_splits, best_of_all, drawn
from grader.harness import exercise


@exercise("partition_layers", aspect="equivalence")
def test_other_costs(launch):
    """Of all splits of up to twelve layers the cheapest is found."""
    cases = [(drawn(int(torch.randint(5, 13, ())), 9), int(torch.randint(2, 6, ()))) for _ in range(30)]
    assert_splits(launch, cases, [best_of_all(*case) for case in cases])


@exercise("partition_layers", aspect="property")
def test_other_stages_of_a_known_model(launch):
    """A known model is split as well as it can be on other numbers of stages."""
    assert_splits(launch, [(GPT2, stages) for stages in (2, 3, 5)], [best_of_all(GPT2, stages) for stages in (2, 3, 5)])


@exercise("partition_layers", aspect="robustness")
def test_many_layers(launch):
    """Sixty equal layers on fifteen stages are four each; searching all splits would not end."""
    assert_splits(launch, [([7] * 60, 15)], [[4] * 15])
