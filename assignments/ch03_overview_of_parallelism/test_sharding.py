"""Public tests of exercise `shard`."""

import pytest
import torch

from assignments.ch03_overview_of_parallelism.references_sharding import NOT_CONTIGUOUS, assert_cut
from course_env.rank_programs import call_each, error_types
from grader.harness import assert_arguments_kept, exercise


@exercise("shard", aspect="equivalence")
@pytest.mark.parametrize(("dim", "shape"), [(0, (128, 256)), (1, (256, 128))])
def test_halves_of_a_matrix(launch, dim, shape):
    """Two ranks share a matrix of 256 rows and columns by rows or by columns."""
    run = assert_cut(launch, torch.randn(256, 256, dtype=torch.float64), dim, 2, "chunk")
    assert [tuple(piece.shape) for piece in run["piece"]] == [shape, shape]


@exercise("shard", aspect="equivalence")
@pytest.mark.parametrize("mode", ["chunk", "balanced"])
@pytest.mark.parametrize(("n", "world"), [(10, 4), (7, 3), (5, 4)])
def test_sizes_that_do_not_divide(launch, n, world, mode):
    """Pieces are those of torch.chunk or torch.tensor_split. Every rank has one, which may be empty."""
    assert_cut(launch, torch.randn(3, n, 2, dtype=torch.float64), 1, world, mode)


@exercise("shard", aspect="equivalence")
def test_sizes_are_told(student):
    """Ten entries on four ranks are 3, 3, 3, 1, or balanced 3, 3, 2, 2; five on four are 2, 2, 1 and none."""
    assert student.shard_sizes(10, 4) == [3, 3, 3, 1]
    assert student.shard_sizes(10, 4, "balanced") == [3, 3, 2, 2]
    assert student.shard_sizes(5, 4) == [2, 2, 1, 0]


@exercise("shard", aspect="property")
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_a_piece_keeps_nothing_else_alive(launch, dim):
    """A piece is contiguous and has memory of its own, so the whole tensor can be freed."""
    run = assert_cut(launch, torch.randn(6, 4, 10, dtype=torch.float64), dim, 2, "chunk")
    assert_arguments_kept(run, "x")
    assert all(run.observed("contiguous")), NOT_CONTIGUOUS


@exercise("shard", aspect="robustness")
def test_what_cannot_be_cut_is_refused(launch):
    """A negative size, a world of 0, an unknown mode and a rank outside the world raise ValueError."""
    calls = [{"n": -1, "world": 2}, {"n": 4, "world": 0}, {"n": 4, "world": 2, "mode": "even"}]
    run = launch(call_each, 1, shared={"function": "shard_sizes", "calls": calls}, process_group=False)
    assert error_types(run["errors"][0]) == ["ValueError"] * 3
    calls = [{"x": torch.ones(4), "dim": 0, "rank": rank, "world": 2} for rank in (2, -1)]
    run = launch(call_each, 1, shared={"function": "shard", "calls": calls}, process_group=False)
    assert error_types(run["errors"][0]) == ["ValueError"] * 2
