"""Public tests of exercise `distributed_accuracy`."""

import pytest
import torch

from assignments.ch04_data_parallelism import programs
from grader.harness import assert_matches, exercise

NUM_CLASSES = 4


def predictions(*shape):
    """Return random predictions and labels, of which about half agree."""
    label = torch.randint(NUM_CLASSES, shape)
    return torch.where(torch.rand(shape) < 0.4, label, torch.randint(NUM_CLASSES, shape)), label


def spread(n, world_size):
    """Return n examples as DistributedSampler deals them out: rank r has r, r + N, ...; padding repeats the first ones.

    The masks say which are no padding.
    """
    pred, label = predictions(n)
    places = torch.arange(-(-n // world_size) * world_size)
    columns = [places[rank::world_size] for rank in range(world_size)]
    return {
        "pred": [pred[column % n] for column in columns],
        "label": [label[column % n] for column in columns],
        "valid_mask": [column < n for column in columns],
    }


def share_of_right(given):
    """Return the accuracy over the valid positions of all ranks, by one process."""
    pred, label, valid = (torch.cat([one.flatten() for one in given[name]]) for name in ("pred", "label", "valid_mask"))
    return int((pred[valid] == label[valid]).sum()) / int(valid.sum())


def assert_right(run, given):
    """Every rank has the same float, that of one process, and the arguments are as they were."""
    assert_matches(run["accuracy"], share_of_right(given), what="accuracy")
    assert_matches(run["changed"], [False] * 3, what="whether pred, label and valid_mask were written to")


def assert_two_numbers_are_reduced(comm):
    """Every rank all-reduces two numbers of 8 bytes, and nothing else."""
    comm.assert_only("all_reduce")
    for rank in range(comm.world_size):
        reduced = [(sum(op.inputs), op.dtype) for op in comm.ops(rank=rank)]
        assert reduced in ([(2, "int64")], [(2, "float64")]), (
            f"Rank {rank} all-reduced {reduced}. One all-reduce of two numbers is enough; "
            "they are int64 or float64, because float32 cannot count beyond 2^24."
        )


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
    """A rank whose positions are all padding changes nothing."""
    given = spread(5, 4)
    given["valid_mask"][1] = torch.zeros(2, dtype=torch.bool)
    run = launch(programs.accuracy, 4, per_rank=given)
    assert_right(run, given)


@exercise("distributed_accuracy", aspect="robustness")
def test_shapes_that_differ_are_refused(launch):
    """Predictions of shape (n, 1) and labels of shape (n,) raise ValueError: compared, they would give n x n results."""
    pred, label = predictions(6)
    valid = torch.ones(6, dtype=torch.bool)
    shared = {"pred": pred.unsqueeze(1), "label": label, "valid_mask": valid}
    assert_refused(launch(programs.failing_accuracy, 2, shared=shared))


def assert_refused(run):
    """Every rank raises ValueError with a message."""
    for rank, error in enumerate(run["error"]):
        assert error.startswith("ValueError: "), f"Rank {rank} raised no ValueError."
        assert len(error) > len("ValueError: "), f"Rank {rank} raised a ValueError that says nothing."
