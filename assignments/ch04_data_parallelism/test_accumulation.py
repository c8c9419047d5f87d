"""Public tests of exercise `accumulate_step`."""

import pytest

from assignments.ch04_data_parallelism.references import random_values, trainable_bytes
from assignments.ch04_data_parallelism.references_accumulation import (
    LARGE,
    accumulated,
    assert_flat_memory,
    assert_one_sync,
    assert_refuses_nothing,
    assert_trained,
    launch_steps,
    steps_of,
)
from grader.harness import PerRank, assert_matches, exercise
from grader.harness.mistake import Mistake


@exercise("accumulate_step", aspect="equivalence")
@pytest.mark.parametrize(("world_size", "rows"), [(1, [4, 4]), (2, [2, 2, 2, 2]), (3, [5, 1, 2]), (2, [6])])
def test_a_step_is_that_of_one_large_batch(launch, world_size, rows):
    """Micro-batches, equal or not, train as one process would on all rows of all ranks at once."""
    values, steps = random_values("mlp"), steps_of(world_size, "mlp", rows)
    run, factors = launch_steps(launch, steps, "mlp", values)
    assert_trained(run, "mlp", values, steps, factors)


@exercise("accumulate_step", aspect="equivalence")
def test_the_result_is_the_mean_loss_of_the_rank(launch):
    """The result is the mean over all rows of this rank, whatever the sizes of the micro-batches."""
    values, steps = random_values("mlp"), steps_of(2, "mlp", [5, 1, 2], num_steps=1)
    run, factors = launch_steps(launch, steps, "mlp", values)
    assert_matches(run["losses"], PerRank(accumulated("mlp", values, steps, factors)[1]), what="losses")
    assert run.observed("has_graph") == (False, False), "The loss must come without its graph: detach() it."


@exercise("accumulate_step", aspect="equivalence")
def test_gradients_from_before_do_not_count(launch):
    """Gradients that the parameters hold when the step begins are dropped."""
    values, steps = random_values("mlp"), steps_of(2, "mlp", [2, 4], num_steps=1)
    run, factors = launch_steps(launch, steps, "mlp", values, with_start_grads=True)
    assert_trained(run, "mlp", values, steps, factors)


@exercise("accumulate_step", aspect="property")
@pytest.mark.parametrize("num_micro_batches", [1, 4])
def test_gradients_are_communicated_once(launch, num_micro_batches):
    """However many micro-batches a step has, every gradient goes through one all-reduce."""
    values, steps = random_values("wide"), steps_of(2, "wide", [2] * num_micro_batches, num_steps=1)
    run, factors = launch_steps(launch, steps, "wide", values)
    due, _ = trainable_bytes("wide")
    for rank in range(2):
        carried = run.comm.payload_bytes("all_reduce", rank=rank)
        mistake = Mistake.MORE_COMMUNICATION if carried > due else Mistake.CHECK
        assert carried == due, f"{mistake}\nRank {rank} all-reduced {carried} bytes; the gradients have {due}."
    assert_trained(run, "wide", values, steps, factors)


@exercise("accumulate_step", aspect="property")
def test_only_the_last_pass_is_outside_no_sync(launch):
    """Of three micro-batches, two run inside no_sync(); then come one outside, finish_grad_sync() and one step()."""
    values, steps = random_values("mlp"), steps_of(2, "mlp", [2, 2, 2])
    run, factors = launch_steps(launch, steps, "mlp", values)
    assert_one_sync(run, num_micro_batches=3, num_steps=2)
    assert_trained(run, "mlp", values, steps, factors)


@exercise("accumulate_step", aspect="property")
def test_memory_does_not_grow_with_the_number_of_micro_batches(launch):
    """Only one forward pass at a time keeps its activations for backward."""
    values, steps = random_values("wide"), steps_of(2, "wide", [LARGE] * 4, num_steps=1)
    run, factors = launch_steps(launch, steps, "wide", values)
    assert_flat_memory(launch, run, steps, "wide", values)
    assert_trained(run, "wide", values, steps, factors)


@exercise("accumulate_step", aspect="robustness")
def test_a_group_of_some_of_the_ranks(launch):
    """Ranks 3 and 1 train on their rows; ranks 0 and 2 take no part."""
    members, values, steps = [3, 1], random_values("mlp"), steps_of(4, "mlp", [3, 2])
    run, factors = launch_steps(launch, steps, "mlp", values, members=members)
    expected, _ = accumulated("mlp", values, [steps[3], steps[1]], [factors[3], factors[1]])
    assert_matches(run["at_end"], PerRank([None, expected, None, expected]), what="at_end")


@exercise("accumulate_step", aspect="robustness")
def test_no_micro_batches(launch):
    """An empty list is a ValueError, and changes no parameter."""
    assert_refuses_nothing(launch)
