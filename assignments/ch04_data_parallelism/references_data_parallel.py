"""Baselines and assertions that the public and the hidden tests of data_parallel.py share."""

import pytest

from assignments.ch04_data_parallelism import programs_data_parallel as programs
from assignments.ch04_data_parallelism.references import batch, random_values
from course_env.toy_models import build_model, gradients_of, load_tensors, loss_of

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


def step(launch, model, rows, n_replicas, **options):
    """Launch one step; return the run and what the whole batch gives."""
    values, one = random_values(model), batch(model, rows)
    shared = {"model": model, "values": values, "x": one["x"], "y": one["y"], "n_replicas": n_replicas, **options}
    run = launch(programs.data_parallel_step, 1, shared=shared, process_group=False)
    return run, whole_batch(model, values, one["x"], one["y"], options.get("start_grads")) | {"tensors": values}
