"""Baselines and assertions that the public and the hidden tests of accuracy.py share."""

import torch

from assignments.ch04_data_parallelism import programs_accuracy as programs
from grader.harness import assert_arguments_kept, assert_matches

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
    assert_arguments_kept(run, "pred", "label", "valid_mask")


def assert_two_numbers_are_reduced(comm):
    """Every rank all-reduces two numbers of 8 bytes, and nothing else."""
    comm.assert_only("all_reduce")
    for rank in range(comm.world_size):
        reduced = [(sum(op.inputs), op.dtype) for op in comm.ops(rank=rank)]
        assert reduced in ([(2, "int64")], [(2, "float64")]), (
            f"Rank {rank} all-reduced {reduced}. One all-reduce of two numbers is enough; "
            "they are int64 or float64, because float32 cannot count beyond 2^24."
        )


def assert_refused(launch, pred, label, valid_mask):
    """Every rank raises ValueError with a message for these arguments, and none for others; return the run.

    The others are there because code that refuses everything, or says so, would pass a test of refusals alone.
    """
    given = spread(9, 2)
    good = [[given[name][rank] for name in ("pred", "label", "valid_mask")] for rank in range(2)]
    shared = {"bad": [pred, label, valid_mask]}
    run = launch(programs.failing_accuracy, 2, shared=shared, per_rank={"good": good})
    for rank, error in enumerate(run["error"]):
        assert error.startswith("ValueError: "), f"Rank {rank} raised no ValueError."
        assert len(error) > len("ValueError: "), f"Rank {rank} raised a ValueError that says nothing."
    assert_matches(run["accuracy"], share_of_right(given), what="accuracy")
    return run
