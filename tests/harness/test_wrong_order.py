"""Right numbers in the wrong order: what the student is told."""

import pytest
import torch

from tests.harness.comparing import diagnosis, per_rank, weights

pytestmark = pytest.mark.usefixtures("seed")


def test_a_square_transpose_is_told():
    """Transposed square matrices keep their shape, and are found by their values."""
    expected = per_rank(2, 6, 6)
    assert diagnosis([e.T.contiguous() for e in expected], expected) == "Transposed: dims 0 and 1 are exchanged."


def test_exchanged_inner_dims_are_told():
    """Heads and positions exchanged in attention is a transpose of two inner dims."""
    expected = weights(2, 4, 4, 3)
    assert diagnosis(expected.transpose(1, 2).contiguous(), expected) == "Transposed: dims 1 and 2 are exchanged."


@pytest.mark.parametrize(
    "mistake",
    [
        lambda e: e.T.reshape(e.shape),
        lambda e: e.reshape(8, 6).T,
        lambda e: torch.cat(e.chunk(4, 1), 0).reshape(e.shape),
    ],
    ids=["reshape of the transpose", "transpose of the reshape", "cat along the wrong dim"],
)
def test_memory_in_the_wrong_order_is_told(mistake):
    """A reshape where a transpose is due, or shards concatenated along the wrong dim, keep shape and numbers."""
    expected = weights(6, 8)
    assert "wrong memory order" in diagnosis([mistake(expected)] * 4, expected)


def test_blocks_in_the_wrong_order_are_told():
    """A ring all-gather that starts at its own rank returns every block, in an order of its own on each rank."""
    blocks = per_rank(4, 3, 5)
    actual = [torch.cat(blocks[rank:] + blocks[:rank], 1) for rank in range(4)]
    said = diagnosis(actual, torch.cat(blocks, 1))
    assert said == "The 4 blocks along dim 1 are in the wrong order; on rank 1: 1, 2, 3, 0."


def test_strided_shards_where_contiguous_ones_are_due_are_told():
    """A sampler that deals samples out in turn gives other shards than one that cuts blocks; both directions are told."""
    data = weights(12, 3)
    contiguous, strided = list(data.chunk(4)), [data[rank::4] for rank in range(4)]
    assert diagnosis(strided, contiguous).startswith("Contiguous and interleaved are exchanged along dim 0")
    assert diagnosis(contiguous, strided).startswith("Contiguous and interleaved are exchanged along dim 0")


def test_interleaved_entries_within_a_rank_are_told():
    """A gathered sequence of interleaved entries is told in both directions."""
    whole = weights(12)
    interleaved = whole.view(4, 3).T.flatten()
    assert "interleaved" in diagnosis([interleaved] * 4, whole)
    assert "interleaved" in diagnosis([whole] * 4, interleaved)


@pytest.mark.parametrize(("shift", "dim"), [(1, 0), (-2, 1)])
def test_entries_off_by_a_constant_shift_are_told(shift, dim):
    """Positions that are off by one show as a roll along a dim, with its direction."""
    expected = weights(9, 11)
    assert f"Shifted by {shift} along dim {dim}" in diagnosis([expected.roll(shift, dim)] * 2, expected)


def test_a_reversed_dim_is_told():
    """A sequence that runs backwards is told."""
    expected = weights(3, 5)
    assert diagnosis([expected.flip(1)] * 2, expected) == "Reversed along dim 1."


@pytest.mark.parametrize("size", [37, 20_000])
def test_entries_in_no_order_are_told(size):
    """The same entries in any order are the last thing that order can explain, in small tensors and in large ones."""
    expected = weights(size)
    assert diagnosis(expected[torch.randperm(size)], expected) == "The right entries in the wrong order."
