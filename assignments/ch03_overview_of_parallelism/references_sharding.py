"""Baselines and assertions that the public and the hidden tests of sharding.py share."""

import torch

from assignments.ch03_overview_of_parallelism import programs
from grader.harness import PerRank, assert_matches
from grader.harness.mistake import Mistake

NOT_CONTIGUOUS = (
    f"{Mistake.NOT_CONTIGUOUS}\nA piece is not contiguous: clone() alone keeps the strides of a narrowed tensor."
)


def cut(x, dim, world, mode):
    """Return the pieces due, empty ones included."""
    if mode == "balanced":
        return list(torch.tensor_split(x, world, dim))
    pieces = list(torch.chunk(x, world, dim))
    nothing = x.narrow(dim, 0, 0)
    return pieces + [nothing] * (world - len(pieces))


def assert_cut(launch, x, dim, world, mode, *, by_columns=False):
    """Every rank has its piece, in memory of its own, and together they are x again."""
    shared = {"x": x, "dim": dim, "world": world, "mode": mode, "by_columns": by_columns}
    run = launch(programs.shard, world, shared=shared, per_rank={"rank": range(world)}, process_group=False)
    assert_matches(run["piece"], PerRank(cut(x, dim, world, mode)), what="the piece", rtol=0.0, atol=0.0)
    assert_matches(run["x"], x, what="x after the call", rtol=0.0, atol=0.0)
    whole = launch(programs.unshard, 1, shared={"pieces": list(run["piece"]), "dim": dim}, process_group=False)
    assert_matches(whole["whole"], x, what="unshard of all pieces", rtol=0.0, atol=0.0)
    return run
