"""Hidden tests of exercise `shard`."""

import pytest
import torch

from assignments.ch03_overview_of_parallelism.references_sharding import NOT_CONTIGUOUS, assert_cut, cut
from grader.harness import assert_arguments_kept, exercise


@exercise("shard", aspect="equivalence")
@pytest.mark.parametrize("mode", ["chunk", "balanced"])
@pytest.mark.parametrize("dim", [0, 2, -2])
def test_other_tensors(launch, mode, dim):
    """Tensors of other shapes and types are cut as PyTorch cuts them."""
    shape = [int(n) for n in torch.randint(1, 9, (4,))]
    assert_cut(launch, torch.randint(-99, 99, shape), dim, int(torch.randint(1, 7, ())), mode)


@exercise("shard", aspect="equivalence")
@pytest.mark.parametrize("mode", ["chunk", "balanced"])
def test_sizes_of_many(student, mode):
    """Sizes are right from none to many entries, for few and many ranks."""
    for n in (0, 1, 6, 23):
        for world in (1, 2, 5, 8):
            assert student.shard_sizes(n, world, mode) == [len(part) for part in cut(torch.zeros(n), 0, world, mode)]


@exercise("shard", aspect="property")
def test_pieces_of_a_transposed_tensor(launch):
    """Pieces of a tensor that is not contiguous are contiguous themselves, and share no memory with it."""
    run = assert_cut(launch, torch.randn(9, 5, dtype=torch.float64), 0, 4, "balanced", by_columns=True)
    assert_arguments_kept(run, "x")
    assert all(run.observed("contiguous")), NOT_CONTIGUOUS


@exercise("shard", aspect="robustness")
def test_more_ranks_than_entries(launch):
    """Ranks for which nothing is left get tensors of size 0 along dim; their other sizes are right."""
    assert_cut(launch, torch.randn(2, 3, dtype=torch.float32), 0, 5, "balanced")
    assert_cut(launch, torch.randn(2, 3, dtype=torch.float32), 1, 8, "chunk")
