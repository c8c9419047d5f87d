"""Baselines and assertions that the public and the hidden tests of sharding.py share."""

import torch

from assignments.ch03_overview_of_parallelism import programs_sharding as programs
from grader.harness import PerRank, assert_arguments_kept, assert_matches
from grader.harness.mistake import Mistake

NOT_CONTIGUOUS = (
    f"{Mistake.NOT_CONTIGUOUS}\nA piece is not contiguous: clone() alone keeps the strides of a narrowed tensor."
)
HAS_GRAPH = f"{Mistake.SHARES_MEMORY}\nA piece of an nn.Parameter has a graph, which leads to x and keeps all of it alive: detach() it."


def cut(x, dim, world, mode):
    """Return the pieces due, empty ones included."""
    if mode == "balanced":
        return list(torch.tensor_split(x, world, dim))
    pieces = list(torch.chunk(x, world, dim))
    nothing = x.narrow(dim, 0, 0)
    return pieces + [nothing] * (world - len(pieces))


def assert_cut(launch, x, dim, world, mode, **how):
    """Every rank has its piece, and together they are x again; x stays as it was.

    how: `by_columns` or `as_parameter` of `programs_sharding.shard`
    """
    shared = {"x": x, "dim": dim, "world": world, "mode": mode, **how}
    run = launch(programs.shard, world, shared=shared, per_rank={"rank": range(world)}, process_group=False)
    assert_same(run["piece"], PerRank(cut(x, dim, world, mode)), what="the piece")
    if any(any(written) for written in run.observed("written")):
        raise AssertionError(f"{Mistake.WROTE_TO_ARGUMENT}\nshard wrote to x, which is the caller's.")
    assert_same(run["x"], x, what="x after the call")
    whole = launch(programs.unshard, 1, shared={"pieces": list(run["piece"]), "dim": dim}, process_group=False)
    assert_same(whole["whole"], x, what="unshard of all pieces")
    return run


def assert_own_memory(run, x, dim, world, mode):
    """Check that the pieces of a run of `assert_cut` are contiguous, without a graph, and in memory that is theirs alone."""
    due = cut(x, dim, world, mode)
    assert_arguments_kept(run, "x")
    assert_same(run["later"], PerRank(due), what="the piece, once x has other values,")
    for name, due_on_all, told in (("contiguous", True, NOT_CONTIGUOUS), ("has_graph", False, HAS_GRAPH)):
        if any(seen is not due_on_all for seen in run.observed(name)):
            raise AssertionError(told)
    assert_same(run["memory"], PerRank([piece.flatten() for piece in due]), what="what lies in the piece's memory")


def assert_joined(launch, pieces, dim, whole):
    """Pieces put together are `whole`, in memory of its own; they stay as they were."""
    run = launch(programs.unshard, 1, shared={"pieces": pieces, "dim": dim}, process_group=False)
    assert_same(run["whole"], whole, what="unshard of all pieces")
    assert_same(run["pieces"], pieces, what="the pieces after unshard")
    assert_arguments_kept(run, "shards")
    assert_same(run["later"], whole, what="unshard's result, once the pieces have other values,")


def assert_same(actual, expected, *, what):
    """Compare to the last bit."""
    assert_matches(actual, expected, what=what, rtol=0.0, atol=0.0)
