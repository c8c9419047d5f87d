"""Hidden tests of exercise `distributed_accuracy`."""

import pytest
import torch

from assignments.ch04_data_parallelism import programs_accuracy as programs
from assignments.ch04_data_parallelism.references_accuracy import (
    assert_refused,
    assert_right,
    assert_two_numbers_are_reduced,
    predictions,
    share_of_right,
    spread,
)
from grader.harness import PerRank, assert_matches, exercise

NAMES = ("pred", "label", "valid_mask")


def drawn(shapes):
    """Return predictions with random masks, of one shape for each rank."""
    pairs = [predictions(*shape) for shape in shapes]
    return {
        "pred": [pred for pred, _ in pairs],
        "label": [label for _, label in pairs],
        "valid_mask": [torch.rand(shape) < 0.6 for shape in shapes],
    }


@exercise("distributed_accuracy", aspect="equivalence")
@pytest.mark.parametrize(("world_size", "n"), [(2, 41), (4, 9)])
def test_other_test_sets(launch, world_size, n):
    """The accuracy is right for other sizes and other numbers of ranks."""
    given = spread(n, world_size)
    run = launch(programs.accuracy, world_size, per_rank=given)
    assert_right(run, given)


@exercise("distributed_accuracy", aspect="equivalence")
@pytest.mark.parametrize("right_where", ["valid", "padding"])
@pytest.mark.parametrize("padded_with", [None, -1, -100])
def test_padding_counts_nowhere(launch, right_where, padded_with):
    """Padding counts neither among the right predictions nor among all, predicted rightly or not, whatever its label is."""
    given = drawn([(9,), (4,), (13,)])
    if padded_with is not None:
        for label, valid in zip(given["label"], given["valid_mask"], strict=True):
            label[~valid] = padded_with
    given["valid_mask"][0][:2] = torch.tensor([True, False])
    for label, valid, pred in zip(given["label"], given["valid_mask"], given["pred"], strict=True):
        is_right = valid if right_where == "valid" else ~valid
        pred.copy_(torch.where(is_right, label, label + 1))
    run = launch(programs.accuracy, 3, per_rank=given)
    assert_matches(run["accuracy"], 1.0 if right_where == "valid" else 0.0, what="accuracy")


@exercise("distributed_accuracy", aspect="property")
def test_what_is_communicated_does_not_grow(launch):
    """Ranks with different numbers of predictions all-reduce the same two numbers."""
    given = drawn([(64, 200), (3,), (1, 1, 5), (0,)])
    given["valid_mask"][1][:] = True
    run = launch(programs.accuracy, 4, per_rank=given)
    assert_right(run, given)
    assert_two_numbers_are_reduced(run.comm)


@exercise("distributed_accuracy", aspect="robustness")
def test_tokens_of_sequences(launch):
    """Predictions may have a different shape on every rank, and be empty on one."""
    given = drawn([(3, 7), (0, 7), (2, 5)])
    given["valid_mask"][2][0, 0] = True
    run = launch(programs.accuracy, 3, per_rank=given)
    assert_right(run, given)


@exercise("distributed_accuracy", aspect="robustness")
def test_two_groups_side_by_side(launch):
    """Each of two groups has its own accuracy."""
    groups = [[0, 3], [1, 2, 4]]
    given = drawn([(11,), (5,), (8,), (6,), (9,)])
    for rank, valid in enumerate(given["valid_mask"]):  # the first group is right somewhere, the second nowhere
        valid[0] = True
        right = given["pred"][rank] if rank in groups[0] else given["pred"][rank] + 1
        given["label"][rank] = right.clone()
    run = launch(programs.accuracy, 5, per_rank=given, shared={"groups": groups})
    expected = [share_of_right({name: [given[name][rank] for rank in members] for name in NAMES}) for members in groups]
    assert_matches(run["accuracy"], PerRank(expected[rank not in groups[0]] for rank in range(5)), what="accuracy")


@exercise("distributed_accuracy", aspect="robustness")
def test_a_mask_of_another_shape_is_refused(launch):
    """A mask that would broadcast raises ValueError, before any communication."""
    pred, label = predictions(2, 3)
    run = assert_refused(launch, pred, label, torch.ones(3, dtype=torch.bool))
    only_good = run.comm.count() == run.comm.world_size
    assert only_good, "Shapes are checked before anything is communicated."


@exercise("distributed_accuracy", aspect="robustness")
@pytest.mark.parametrize("shape", [(0,), (2, 0, 3), (5, 1)])
def test_nothing_valid_in_other_shapes_is_refused(launch, shape):
    """Empty tensors and tensors of padding only, on all ranks, raise ValueError on every rank."""
    pred, label = predictions(*shape)
    assert_refused(launch, pred, label, torch.zeros(shape, dtype=torch.bool))
