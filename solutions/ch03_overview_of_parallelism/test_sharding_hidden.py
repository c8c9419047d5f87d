"""Hidden tests of exercise `shard`."""

import pytest
import torch

from assignments.ch03_overview_of_parallelism.references_sharding import (
    assert_cut,
    assert_joined,
    assert_own_memory,
    cut,
)
from grader.harness import assert_returns, exercise


@exercise("shard", aspect="equivalence")
@pytest.mark.parametrize("mode", ["chunk", "balanced"])
@pytest.mark.parametrize("dim", [0, 2, -2])
def test_other_tensors(launch, mode, dim):
    """Tensors of other shapes and types are cut as PyTorch cuts them."""
    shape = [int(n) for n in torch.randint(1, 9, (4,))]
    assert_cut(launch, torch.randint(-99, 99, shape), dim, int(torch.randint(1, 7, ())), mode)


@exercise("shard", aspect="equivalence")
@pytest.mark.parametrize("mode", ["chunk", "balanced"])
@pytest.mark.parametrize("n", [0, 1, 6, 23])
def test_sizes_of_many(student, mode, n):
    """Sizes are right from none to many entries, for few and many ranks."""
    for world in (1, 2, 5, 8):
        due = [len(part) for part in cut(torch.zeros(n), 0, world, mode)]
        assert_returns(student.shard_sizes, {"n": n, "world": world, "mode": mode}, due)


@exercise("shard", aspect="property")
def test_pieces_of_a_transposed_tensor(launch):
    """Pieces of a tensor that is not contiguous are contiguous themselves, and share no memory with it."""
    x = torch.randn(9, 5, dtype=torch.float64)
    assert_own_memory(assert_cut(launch, x, 0, 4, "balanced", by_columns=True), x, 0, 4, "balanced")
    assert_own_memory(assert_cut(launch, x, 0, 1, "chunk", by_columns=True), x, 0, 1, "chunk")


@exercise("shard", aspect="property")
@pytest.mark.parametrize("mode", ["chunk", "balanced"])
def test_pieces_that_are_views_already(launch, mode):
    """A piece that would be contiguous without a copy is copied all the same, and its type stays."""
    x = torch.randn(8, 3).to(torch.bfloat16)
    assert_own_memory(assert_cut(launch, x, 0, 3, mode, as_parameter=True), x, 0, 3, mode)


@exercise("shard", aspect="robustness")
def test_more_ranks_than_entries(launch):
    """Ranks for which nothing is left get tensors of size 0 along dim; their other sizes are right, also where all are empty."""
    assert_cut(launch, torch.randn(2, 3, dtype=torch.float32), 0, 5, "balanced")
    assert_cut(launch, torch.randn(2, 3, dtype=torch.float32), 1, 8, "chunk")
    assert_cut(launch, torch.ones(0, 3, dtype=torch.int64), 0, 2, "chunk")
    assert_joined(launch, [torch.ones(2, 0), torch.ones(2, 3), torch.ones(2, 0)], 1, torch.ones(2, 3))
