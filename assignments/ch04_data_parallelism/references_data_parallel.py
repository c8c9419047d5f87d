"""Baselines and assertions that the public and the hidden tests of data_parallel.py share."""

import pytest

from assignments.ch04_data_parallelism import programs_data_parallel as programs
from assignments.ch04_data_parallelism.references import assert_not_known, batch, random_values
from course_env.toy_models import build_model, gradients_of, load_tensors, loss_of
from grader.harness import assert_arguments_kept, assert_matches
from grader.harness.mistake import Mistake

both_kinds = pytest.mark.parametrize("loss_inside", [False, True])


def whole_batch(model, values, x, y, start_grads=None):
    """Return the loss and the gradients of the module itself on the whole batch."""
    module = build_model(model)
    load_tensors(module, values)
    for name, parameter in module.named_parameters():
        parameter.grad = None if start_grads is None else start_grads[name].clone()
    loss = loss_of(module(x), y)
    loss.backward()
    return {"loss": loss.detach(), "grads": gradients_of(module)}


def assert_whole_batch(run, expected):
    """Assert that loss and gradients are those of the whole batch, and that x and y are as they were."""
    shards = expected["losses_of_shards"]
    known = {"The shards' losses were averaged as if all had equally many rows.": [sum(shards) / len(shards)]}
    assert_not_known(run["loss"], [expected["loss"]], known)
    assert_matches(run["loss"], expected["loss"], what="loss")
    assert_added(run, expected, None)
    assert_arguments_kept(run, "x", "y")


def assert_added(run, expected, start):
    """Assert that the step added its gradients to those that were there, `start`."""
    if start is not None:
        alone = {
            name: grad if grad is None or start.get(name) is None else grad - start[name]
            for name, grad in expected["grads"].items()
        }
        known = {"The gradients of the step took the place of those that were there: add to them.": [alone]}
        assert_not_known(run["grads"], [expected["grads"]], known)
    assert_matches(run["grads"], expected["grads"], what="grads")


def step(launch, model, rows, n_replicas, **options):
    """Launch one step; return the run and what the whole batch gives."""
    values, one = random_values(model), batch(model, rows)
    shared = {"model": model, "values": values, "x": one["x"], "y": one["y"], "n_replicas": n_replicas, **options}
    run = launch(programs.data_parallel_step, 1, shared=shared, process_group=False)
    expected = whole_batch(model, values, one["x"], one["y"], options.get("start_grads"))
    shards = zip(one["x"].chunk(n_replicas), one["y"].chunk(n_replicas), strict=True)
    losses = (
        [whole_batch(model, values, *shard)["loss"] for shard in shards]
        if model != "batch_norm"
        else [expected["loss"]]
    )
    return run, expected | {"tensors": values, "losses_of_shards": losses}


def failing_step(launch, rows, n_replicas, bad_rows=()):
    """Launch a step in which the replicas with these rows raise, and a good one after it; return the first's error."""
    values, one = random_values("mlp"), batch("mlp", rows)
    shared = {"model": "mlp", "values": values, "x": one["x"], "y": one["y"], "bad_rows": list(bad_rows)}
    run = launch(
        programs.failing_data_parallel_step,
        1,
        shared={**shared, "n_replicas": n_replicas, "good_replicas": 2},
        process_group=False,
    )
    expected = whole_batch("mlp", values, one["x"], one["y"])["loss"]
    assert_matches(run["loss"], expected, what="loss of a step in which no replica raises")
    return run["error"][0]


def assert_refused(launch, n_replicas):
    """Assert that this number of replicas is a ValueError."""
    error = failing_step(launch, 4, n_replicas)
    if not error.startswith("ValueError"):
        raise AssertionError(f"{Mistake.DID_NOT_RAISE}\nn_replicas={n_replicas} raised no ValueError.")


def assert_carried(launch, rows, n_replicas, bad_rows):
    """Assert that what the replica with the first of these rows raised reached the caller."""
    error = failing_step(launch, rows, n_replicas, bad_rows)
    if not error:
        raise AssertionError(
            f"{Mistake.DID_NOT_RAISE}\nThe replica with row {bad_rows[0]} of {rows} raised ZeroDivisionError in its thread, and the "
            "step returned. An exception in a thread is lost unless it is carried to the caller."
        )
    if error != f"ZeroDivisionError: planted in the replica that got row {bad_rows[0]}":
        raise AssertionError(
            f"{Mistake.OTHER_ERROR}\nOf the replicas with rows {bad_rows}, all of which raised, the first shard's error is due, "
            f"not {error!r}. The order in which threads fail is chance."
        )


def assert_own_memory(run):
    """Assert that no two of the module and its replicas hold a parameter or buffer in the same memory."""
    if any(run.observed("replicas_share_memory")):
        raise AssertionError("A replica must be a deep copy: its parameters and buffers are its own.")
