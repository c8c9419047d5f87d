"""Public tests of exercise `data_parallel_step`."""

import pytest
import torch

from assignments.ch04_data_parallelism.references_data_parallel import (
    assert_added,
    assert_carried,
    assert_own_memory,
    assert_refused,
    assert_whole_batch,
    both_kinds,
    step,
)
from course_env.toy_models import build_model
from grader.harness import assert_matches, exercise


@exercise("data_parallel_step", aspect="equivalence")
@both_kinds
@pytest.mark.parametrize(("rows", "n_replicas"), [(8, 1), (8, 4), (7, 4)])
def test_loss_and_gradients_are_those_of_the_whole_batch(launch, rows, n_replicas, loss_inside):
    """One step on replicas gives the loss and gradients of the module on the whole batch, 7 rows on 4 replicas included."""
    run, expected = step(launch, "mlp", rows, n_replicas, loss_inside=loss_inside)
    assert_whole_batch(run, expected)


@exercise("data_parallel_step", aspect="equivalence")
@both_kinds
def test_the_module_keeps_its_weights_and_buffers(launch, loss_inside):
    """Only gradients are changed: the statistics of BatchNorm also change in the copies only."""
    run, expected = step(launch, "batch_norm", 8, 2, loss_inside=loss_inside)
    assert_matches(run["tensors"], expected["tensors"], what="tensors", rtol=0.0, atol=0.0)


@exercise("data_parallel_step", aspect="property")
@pytest.mark.parametrize(("rows", "n_replicas", "num_shards"), [(8, 2, 2), (7, 4, 4), (5, 4, 3)])
def test_the_loss_inside_saves_gathering_the_outputs(launch, rows, n_replicas, num_shards):
    """The outputs, 3 numbers per row, are gathered; with the loss inside, one number per shard is."""
    for loss_inside, due in ((False, 3 * rows), (True, num_shards)):
        run, _ = step(launch, "mlp", rows, n_replicas, loss_inside=loss_inside)
        assert_matches(run["gathered"], due, what=f"the count of gathered numbers with loss_inside={loss_inside}")


@exercise("data_parallel_step", aspect="property")
def test_replicas_share_no_memory(launch):
    """No two of the module and its replicas hold a parameter or buffer in the same memory."""
    run, expected = step(launch, "batch_norm", 8, 4, loss_inside=False)
    assert_matches(run["tensors"], expected["tensors"], what="tensors", rtol=0.0, atol=0.0)
    assert_own_memory(run)


@exercise("data_parallel_step", aspect="property")
@pytest.mark.parametrize(("rows", "shard_rows"), [(8, [2, 2, 2, 2]), (7, [2, 2, 2, 1])])
def test_replicas_run_at_the_same_time(launch, rows, shard_rows):
    """The forward passes of all replicas are under way at once, each on its own shard."""
    run, _ = step(launch, "mlp", rows, 4, loss_inside=True, num_shards=4)
    assert_matches(run["shard_rows"], shard_rows, what="rows of the shards")


@exercise("data_parallel_step", aspect="robustness")
def test_gradients_add_to_what_is_there(launch):
    """Like backward(), a step adds to gradients that the module has already."""
    start = {name: torch.randn_like(p) for name, p in build_model("mlp").named_parameters()}
    run, expected = step(launch, "mlp", 6, 3, loss_inside=False, start_grads=start)
    assert_added(run, expected, start)


@exercise("data_parallel_step", aspect="robustness")
def test_a_branch_that_is_not_used(launch):
    """A parameter that no replica uses keeps the gradient that it had, None if there was none."""
    run, expected = step(launch, "branchy", 5, 2, loss_inside=False)
    assert_matches(run["grads"], expected["grads"], what="grads")


@exercise("data_parallel_step", aspect="robustness")
def test_an_exception_in_a_replica_reaches_the_caller(launch):
    """What a replica raises in its thread is raised by the step."""
    assert_carried(launch, 7, 4, bad_rows=[6])


@exercise("data_parallel_step", aspect="robustness")
@pytest.mark.parametrize("n_replicas", [0, 0.5, -1])
def test_fewer_than_one_replica(launch, n_replicas):
    """A number of replicas below 1 is a ValueError."""
    assert_refused(launch, n_replicas)
