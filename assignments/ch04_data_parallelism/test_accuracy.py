"""Public tests of exercise `distributed_accuracy`."""

import pytest
import torch

from assignments.ch04_data_parallelism import programs_accuracy as programs
from assignments.ch04_data_parallelism.references_accuracy import (
    assert_refused,
    assert_right,
    assert_two_numbers_are_reduced,
    predictions,
    spread,
)
from grader.harness import exercise


@exercise("distributed_accuracy", aspect="equivalence")
@pytest.mark.parametrize(("world_size", "n"), [(1, 7), (2, 7), (3, 10), (4, 37)])
def test_the_accuracy_of_one_process(launch, world_size, n):
    """Every rank gets the share of right predictions in a test set that a sampler has padded."""
    given = spread(n, world_size)
    run = launch(programs.accuracy, world_size, per_rank=given)
    assert_right(run, given)


@exercise("distributed_accuracy", aspect="equivalence")
def test_ranks_with_unequal_numbers_of_examples(launch):
    """Ranks with 1, 20 and 6 examples count by their examples, not one third each."""
    pairs = [predictions(n) for n in (1, 20, 6)]
    given = {
        "pred": [pred for pred, _ in pairs],
        "label": [label for _, label in pairs],
        "valid_mask": [torch.ones(len(label), dtype=torch.bool) for _, label in pairs],
    }
    run = launch(programs.accuracy, 3, per_rank=given)
    assert_right(run, given)


@exercise("distributed_accuracy", aspect="property")
def test_only_two_counts_are_communicated(launch):
    """Of 100 KB of predictions per rank, two numbers of 8 bytes are all-reduced, once."""
    given = spread(38_401, 3)
    run = launch(programs.accuracy, 3, per_rank=given)
    assert_right(run, given)
    assert_two_numbers_are_reduced(run.comm)


@exercise("distributed_accuracy", aspect="robustness")
def test_a_rank_with_nothing_but_padding(launch):
    """A rank that holds only padding does not change the accuracy."""
    given = spread(5, 4)
    given["valid_mask"][1] = torch.zeros(2, dtype=torch.bool)
    run = launch(programs.accuracy, 4, per_rank=given)
    assert_right(run, given)


@exercise("distributed_accuracy", aspect="robustness")
def test_shapes_that_differ_are_refused(launch):
    """Predictions of shape (n, 1) and labels of shape (n,) raise ValueError: compared, they would give n x n results."""
    pred, label = predictions(6)
    valid = torch.ones(6, dtype=torch.bool)
    run = assert_refused(launch, pred.unsqueeze(1), label, valid)
    if run.comm.count() > run.comm.world_size:
        raise AssertionError("Shapes are checked before anything is communicated.")


@exercise("distributed_accuracy", aspect="robustness")
def test_nothing_valid_anywhere_is_refused(launch):
    """Without any valid position on any rank, every rank raises ValueError."""
    pred, label = predictions(3)
    assert_refused(launch, pred, label, torch.zeros(3, dtype=torch.bool))
