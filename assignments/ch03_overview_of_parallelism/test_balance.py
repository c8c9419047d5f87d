"""Public tests of exercise `partition_layers`."""

import torch

from assignments.ch03_overview_of_parallelism.references_balance import GPT2, assert_splits, best_of_all, drawn, longest
from course_env.rank_programs import call_each, error_types
from grader.harness import exercise


@exercise("partition_layers", aspect="equivalence")
def test_gpt2_on_four_stages(launch):
    """GPT-2's embedding and head weigh as much as five blocks and a half each: 1, 6, 6 and 1 layers are best."""
    assert_splits(launch, [(GPT2, 4)], [[1, 6, 6, 1]])
    assert [longest(GPT2, counts) for counts in ([1, 6, 6, 1], [3, 5, 5, 1], [4, 3, 3, 4])] == [
        *(42_527_232, 53_559_552, 60_647_424)
    ]


@exercise("partition_layers", aspect="equivalence")
def test_no_split_is_better(launch):
    """Of all splits of up to ten layers the cheapest is found."""
    cases = [(drawn(int(torch.randint(4, 11, ())), 30), int(torch.randint(1, 5, ()))) for _ in range(40)]
    assert_splits(launch, cases, [best_of_all(*case) for case in cases])


@exercise("partition_layers", aspect="property")
def test_equally_good_splits_begin_with_short_stages(launch):
    """Where several splits are as good, the first stage is as short as it can be, then the second."""
    cases = [([1] * 7, 3), ([5, 1, 1, 1, 1], 3), ([0, 0, 4, 0, 0], 2), *[(drawn(8, 2), 3) for _ in range(20)]]
    assert_splits(launch, cases, [best_of_all(*case) for case in cases])


@exercise("partition_layers", aspect="robustness")
def test_limits_of_the_stages(launch):
    """One stage holds all layers, as many stages as layers hold one each; more, or none, raise ValueError."""
    assert_splits(launch, [([3, 1, 2], 1), ([3, 1, 2], 3)], [[3], [1, 1, 1]])
    calls = [{"costs": [3, 1, 2], "stages": stages} for stages in (0, 4)]
    run = launch(call_each, 1, shared={"function": "partition_layers", "calls": calls}, process_group=False)
    assert error_types(run["errors"][0]) == ["ValueError"] * 2
