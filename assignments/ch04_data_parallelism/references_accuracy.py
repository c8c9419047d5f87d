"""Baselines and assertions that the public and the hidden tests of accuracy.py share."""

import torch

from assignments.ch04_data_parallelism import programs_accuracy as programs
from assignments.ch04_data_parallelism.references import assert_not_known
from grader.harness import assert_arguments_kept, assert_matches
from grader.harness.mistake import Mistake

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


def _mistaken(given):
    """Return the accuracies that known mistakes give, for each rank."""
    ranks = list(zip(given["pred"], given["label"], given["valid_mask"], strict=True))
    right = [int(((pred == label) & valid).sum()) for pred, label, valid in ranks]
    right_anywhere = [int((pred == label).sum()) for pred, label, _ in ranks]
    valid = [int(valid.sum()) for _, _, valid in ranks]
    every = [pred.numel() for pred, _, _ in ranks]
    own = [one / max(1, count) for one, count in zip(right, valid, strict=True)]
    of_all = {
        "The accuracies of the ranks were averaged, however many examples each has.": sum(own) / len(own),
        "Padding was counted, among the right predictions and among all.": sum(right_anywhere) / max(1, sum(every)),
        "Padding was counted among all predictions.": sum(right) / max(1, sum(every)),
        "Padding was counted among the right predictions.": sum(right_anywhere) / max(1, sum(valid)),
    }
    return {"Each rank has the accuracy of its own examples.": own} | {
        what: [value] * len(ranks) for what, value in of_all.items()
    }


def assert_right(run, given):
    """Every rank has the same float, that of one process, and the arguments are as they were."""
    due = share_of_right(given)
    assert_not_known(run["accuracy"], [due] * len(given["pred"]), _mistaken(given))
    assert_matches(run["accuracy"], due, what="accuracy")
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
        shapes = ", ".join(str(tuple(one.shape)) for one in (pred, label, valid_mask))
        what = f"pred, label and valid_mask of shapes {shapes}, {int(valid_mask.sum())} positions of them valid on each rank"
        if not error.startswith("ValueError: "):
            raise AssertionError(f"{Mistake.DID_NOT_RAISE}\nRank {rank} raised no ValueError for {what}.")
        if error == "ValueError: ":
            raise AssertionError(f"{Mistake.CHECK}\nRank {rank} raised a ValueError that says nothing for {what}.")
    assert_matches(run["accuracy"], share_of_right(given), what="accuracy")
    return run
