"""Baselines and assertions that the public and the hidden tests of accumulation.py share."""

import torch

from assignments.ch04_data_parallelism.references import batch, one_process
from grader.harness import assert_matches


def steps_of(world_size, model, rows, num_steps=2):
    """Return for each rank its steps, each a list of micro-batches [x, y] with these numbers of rows."""
    return [[[pair(batch(model, n)) for n in rows] for _ in range(num_steps)] for _ in range(world_size)]


def pair(one):
    """Return a batch as [x, y]."""
    return [one["x"], one["y"]]


def joined(steps):
    """Return the same rows as steps of one pass each, for `one_process`."""
    return [[[_join(micro_batches)] for micro_batches in of_rank] for of_rank in steps]


def _join(micro_batches):
    xs, ys = zip(*micro_batches, strict=True)
    return {"x": torch.cat(xs), "y": torch.cat(ys)}


def assert_trained(run, model, values, steps):
    """Assert that every rank ended where one process ends that trains on all rows of all ranks."""
    assert_matches(run["at_end"], one_process(model, values, joined(steps))["at_end"], previous=values, what="at_end")


def assert_one_sync(run, num_micro_batches, num_steps):
    """All passes but the last of each step run inside no_sync(), then finish_grad_sync() and the optimizer's step."""
    calls = ["pass inside no_sync"] * (num_micro_batches - 1) + ["pass", "finish_grad_sync", "step"]
    assert_matches(run["calls"], calls * num_steps, what="the order of calls")
