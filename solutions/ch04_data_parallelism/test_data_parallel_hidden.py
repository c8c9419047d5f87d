"""Hidden tests of exercise `data_parallel_step`."""

import pytest
import torch

from assignments.ch04_data_parallelism.references import TINY_GPT
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
@pytest.mark.parametrize(
    ("model", "rows", "n_replicas"), [("tied", 7, 3), ("branchy", 5, 2), ("mlp", 3, 8), ("mlp", 9, 4), (TINY_GPT, 5, 4)]
)
def test_models_and_batches_of_all_kinds(launch, model, rows, n_replicas, loss_inside):
    """Tied, frozen and unused parameters, fewer rows than replicas and token targets give the whole batch's gradients."""
    run, expected = step(launch, model, rows, n_replicas, loss_inside=loss_inside)
    assert_whole_batch(run, expected)
    assert_matches(run["tensors"], expected["tensors"], what="tensors", rtol=0.0, atol=0.0)


@exercise("data_parallel_step", aspect="property")
@pytest.mark.parametrize(("rows", "n_replicas", "num_shards"), [(9, 4, 3), (3, 8, 3), (6, 1, 1)])
def test_how_much_is_gathered(launch, rows, n_replicas, num_shards):
    """The outputs are gathered; with the loss inside, one number per shard is."""
    for loss_inside, due in ((False, 6 * rows), (True, num_shards)):
        run, _ = step(launch, "tied", rows, n_replicas, loss_inside=loss_inside)
        assert_matches(run["gathered"], due, what=f"the count of gathered numbers with loss_inside={loss_inside}")


@exercise("data_parallel_step", aspect="property")
def test_replicas_have_their_own_memory_and_threads(launch):
    """Replicas share no memory and run at once, with the loss inside as without."""
    for loss_inside in (False, True):
        run, _ = step(launch, "tied", 7, 3, loss_inside=loss_inside, num_shards=3)
        assert_own_memory(run)
        assert_matches(run["shard_rows"], [3, 3, 1], what="rows of the shards")


@exercise("data_parallel_step", aspect="robustness")
@pytest.mark.parametrize(("rows", "n_replicas", "bad_rows"), [(8, 4, [0, 3, 7]), (5, 8, [2, 4]), (6, 2, [5])])
def test_of_several_exceptions_the_first_shards_is_raised(launch, rows, n_replicas, bad_rows):
    """If several replicas raise, the last of them first, the caller gets what the first shard's raised."""
    assert_carried(launch, rows, n_replicas, bad_rows)


@exercise("data_parallel_step", aspect="robustness")
def test_no_replicas_at_all(launch):
    """Whatever number is below 1 is a ValueError."""
    assert_refused(launch, -3)


@exercise("data_parallel_step", aspect="robustness")
@both_kinds
def test_gradients_that_are_there_count_once(launch, loss_inside):
    """Gradients from before are added to once, not once for each replica."""
    start = {name: torch.randn_like(p) for name, p in build_model("branchy").named_parameters()}
    run, expected = step(launch, "branchy", 6, 3, loss_inside=loss_inside, start_grads=start)
    assert_added(run, expected, start)
