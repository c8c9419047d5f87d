"""Public tests of exercise `partition_layers`."""

import torch

from assignments.ch03_overview_of_parallelism import programs
from assignments.ch03_overview_of_parallelism.references_balance import (
    GPT2,
    assert_as_good_as_any,
    assert_splits,
    drawn,
)
from course_env.rank_programs import call_each
from grader.harness import assert_each_raises, exercise
from grader.harness.mistake import Mistake

# costs, stages, the split due, and the equally good one whose first stages are longest
TIES = (
    ([1, 1, 1, 1, 1, 1, 1], 3, [1, 3, 3], [3, 3, 1]),
    ([5, 1, 1, 1, 1], 3, [1, 1, 3], [1, 3, 1]),
    ([0, 0, 4, 0, 0], 2, [1, 4], [4, 1]),
    ([1, 1, 1, 1, 6], 4, [1, 1, 2, 1], [2, 1, 1, 1]),
    ([1, 2, 3, 0, 0, 3, 2], 3, [1, 2, 4], [2, 3, 2]),
    ([1, 0, 2, 0, 2, 3], 5, [1, 1, 1, 2, 1], [2, 1, 1, 1, 1]),
    ([2, 3, 3, 2, 3, 1, 2, 0, 2], 3, [1, 3, 5], [3, 5, 1]),
    ([0, 1, 2, 2, 0, 0, 3, 3], 2, [4, 4], [6, 2]),
    ([0, 0, 1, 3, 2, 2], 3, [1, 3, 2], [4, 1, 1]),
    ([2, 0, 3, 1, 0, 2, 3, 2, 2], 4, [1, 3, 3, 2], [3, 3, 2, 1]),
    ([1, 2, 1, 2, 1, 3, 0, 0], 4, [1, 2, 2, 3], [2, 2, 1, 3]),
    ([1, 3, 1, 0, 2, 1, 3, 2], 3, [2, 4, 2], [4, 2, 2]),
)


@exercise("partition_layers", aspect="equivalence")
def test_gpt2_on_four_stages(launch):
    """GPT-2's embedding and head weigh as much as five blocks and a half each: 1, 6, 6 and 1 layers are best."""
    mistakes = {
        "equal numbers of layers, where equal costs are the aim": [[4, 4, 3, 3]],
        "about equal numbers of layers, where equal costs are the aim": [[4, 3, 3, 4]],
        "stages are filled up to the average from the front, and the last one pays for it": [[1, 5, 5, 3]],
    }
    why = "the most expensive of these stages costs 42,527,232, and that of every other split costs more"
    assert_splits(launch, [(GPT2, 4)], [[1, 6, 6, 1]], why=why, mistakes=mistakes)


@exercise("partition_layers", aspect="equivalence")
def test_no_split_is_better(launch):
    """Of no split of up to ten layers is the most expensive stage cheaper; which of equally good ones it is does not matter here."""
    cases = [(drawn(int(torch.randint(4, 11, ())), 30), int(torch.randint(1, 5, ()))) for _ in range(40)]
    assert_as_good_as_any(launch, cases)


@exercise("partition_layers", aspect="equivalence")
def test_sixty_layers_take_no_time(launch):
    """Sixty layers on sixteen stages are split as well as they can be, in time: there are too many splits to try them all."""
    assert_as_good_as_any(launch, [(drawn(60, 50), 16)])


@exercise("partition_layers", aspect="property")
def test_equally_good_splits_begin_with_short_stages(launch):
    """Where several splits are as good, the first stage is as short as it can be, then the second."""
    cases, due, longest_first = zip(*(((costs, stages), one, other) for costs, stages, one, other in TIES), strict=True)
    why = (
        "of equally good splits it is the one with the fewest layers in the first stage, then in the second, and so on"
    )
    mistakes = {"the first stages are as long as they can be": list(longest_first)}
    assert_splits(launch, list(cases), list(due), why=why, mistakes=mistakes)


@exercise("partition_layers", aspect="property")
def test_costs_stay_as_they_were(launch):
    """The costs are the caller's, who may want to split them again."""
    run = launch(programs.partition, 1, shared={"costs": [4, 1, 3, 2], "stages": 2}, process_group=False)
    if run["costs"][0] != [4, 1, 3, 2]:
        raise AssertionError(
            f"{Mistake.WROTE_TO_ARGUMENT}\npartition_layers([4, 1, 3, 2], 2) left costs as {run['costs'][0]}."
        )
    assert_as_good_as_any(launch, [((4, 1, 3, 2), 2)])


@exercise("partition_layers", aspect="robustness")
def test_limits_of_the_stages(launch):
    """One stage holds all layers, as many stages as layers hold one each; more, or none, raise ValueError."""
    assert_splits(launch, [([3, 1, 2], 1), ([3, 1, 2], 3)], [[3], [1, 1, 1]])
    calls = [{"costs": [3, 1, 2], "stages": stages} for stages in (0, -1, 4, 2)] + [{"costs": [], "stages": 1}]
    run = launch(call_each, 1, shared={"function": "partition_layers", "calls": calls}, process_group=False)
    assert_each_raises(run, "partition_layers", calls, ["ValueError"] * 3 + ["", "ValueError"])
