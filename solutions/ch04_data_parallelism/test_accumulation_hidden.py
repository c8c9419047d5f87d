"""Hidden tests of exercise `accumulate_step`."""

import pytest

from assignments.ch04_data_parallelism.references import TINY_GPT, random_values, trainable_bytes
from assignments.ch04_data_parallelism.references_accumulation import (
    accumulated,
    assert_one_sync,
    assert_trained,
    launch_steps,
    steps_of,
)
from grader.harness import PerRank, assert_matches, exercise
from grader.harness.mistake import Mistake


@exercise("accumulate_step", aspect="equivalence")
@pytest.mark.parametrize(("model", "rows"), [(TINY_GPT, [3, 1]), ("mlp", [1, 6, 2, 1]), ("mlp", [7, 1])])
@pytest.mark.parametrize("with_start_grads", [False, True])
def test_micro_batches_of_any_sizes(launch, model, rows, with_start_grads):
    """However the rows are cut, and whatever gradients are there before, the steps are those of one large batch."""
    values, steps = random_values(model), steps_of(2, model, rows)
    run, factors = launch_steps(launch, steps, model, values, with_start_grads=with_start_grads)
    assert_trained(run, model, values, steps, factors)


@exercise("accumulate_step", aspect="property")
def test_what_six_micro_batches_cost(launch):
    """Six micro-batches cost the communication of one, in the right order of calls and with one graph at a time."""
    values, steps = random_values("wide"), steps_of(3, "wide", [2, 1, 3, 1, 1, 2], num_steps=2)
    run, factors = launch_steps(launch, steps, "wide", values)
    due = 2 * trainable_bytes("wide")[0]
    for rank in range(3):
        carried = run.comm.payload_bytes("all_reduce", rank=rank)
        assert carried <= due, Mistake.MORE_COMMUNICATION
        assert carried == due
    assert_one_sync(run, num_micro_batches=6, num_steps=2)
    assert run.observed("peak_passes") == (1, 1, 1)
    assert_trained(run, "wide", values, steps, factors)


@exercise("accumulate_step", aspect="robustness")
def test_a_group_of_some_of_the_ranks(launch):
    """Ranks 2 and 0 train on their rows, cut in two ways; ranks 1 and 3 take no part."""
    values = random_values("mlp")
    steps = [*steps_of(1, "mlp", [4, 2]), [], *steps_of(1, "mlp", [1, 5]), []]
    run, factors = launch_steps(launch, steps, "mlp", values, members=[2, 0])
    expected, _ = accumulated("mlp", values, [steps[2], steps[0]], [factors[2], factors[0]])
    assert_matches(run["at_end"], PerRank([expected, None, expected, None]), what="at_end")
