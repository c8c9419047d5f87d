"""No explanation without evidence: noise, constants, small integers and stories that fit only in part."""

import math

import pytest
import torch

from grader.harness import PerRank
from grader.harness.compare.hypothesis import significant_bits
from grader.harness.compare.tolerance import Bound
from tests.harness.comparing import diagnosis, per_rank, weights

pytestmark = pytest.mark.usefixtures("seed")


def test_a_factor_that_misses_one_entry_is_not_claimed():
    """An explanation that leaves one wrong entry unexplained is none, even beyond the entries that are probed first."""
    expected = weights(500)
    actual = 4 * expected
    actual[400] += 1e-6
    assert diagnosis([actual] * 4, expected) is None


def test_mixed_up_ranks_must_match_beyond_the_probe():
    """A tensor that starts like another rank's and goes on differently is not that rank's."""
    expected = per_rank(2, 500)
    actual = [expected[1].clone(), expected[0]]
    actual[0][300] += 1e-6
    assert diagnosis(actual, expected) is None


def test_scattered_right_entries_are_no_block():
    """Two right rows apart from each other say nothing."""
    expected, actual = weights(16, 5), weights(16, 5)
    actual[[2, 9]] = expected[[2, 9]]
    assert diagnosis([actual] * 4, expected) is None


def test_rows_with_few_wrong_entries_are_no_wrong_block():
    """Sparse noise in neighbouring rows is not a wrong block: less than half of their entries are wrong."""
    expected = weights(8, 9)
    actual = expected.clone()
    actual[[2, 3, 3, 4, 4], [1, 3, 5, 7, 8]] += 1
    actual[[2, 3], [2, 4]] += 0.123
    assert diagnosis([actual] * 4, expected) is None


def test_three_wrong_entries_are_shown_rather_than_described():
    """A sentence about a block of three entries says no more than the numbers do."""
    expected = weights(37)
    actual = expected.clone()
    actual[:3] = weights(3)
    assert diagnosis(actual, expected) is None


def test_a_block_that_is_missing_is_no_wrong_order():
    """Blocks of which one is there twice are not a permutation."""
    blocks = per_rank(4, 5)
    actual = torch.cat([blocks[1], blocks[0], blocks[0], blocks[3]])
    assert "order" not in (diagnosis([actual] * 4, torch.cat(blocks)) or "")


def test_round_numbers_are_no_narrower_dtype():
    """Multiples of 1/8 fit every dtype, which proves nothing about any."""
    expected = weights(64)
    said = diagnosis(expected.mul(8).round() / 8, expected)
    assert said is None


def test_numbers_of_a_narrower_dtype_far_from_the_reference_are_no_rounding():
    """Random bfloat16 numbers did not lose their digits, they are wrong."""
    assert diagnosis(weights(64, dtype=torch.bfloat16).double(), weights(64)) is None


def test_nan_beside_other_mistakes_is_not_the_whole_story():
    """One nan among other wrong numbers explains nothing."""
    actual = weights(37)
    actual[3] = math.nan
    assert diagnosis(actual, weights(37)) is None


@pytest.mark.parametrize("world_size", [1, 2, 4])
@pytest.mark.parametrize("shape", [(), (1,), (2,), (37,), (4, 4), (8, 3, 2)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_noise_is_never_explained(world_size, shape, dtype):
    """Random wrong tensors have no diagnosis, whatever their shape, dtype and bound."""
    for _ in range(5):
        expected = [weights(*shape).to(dtype) for _ in range(world_size)]
        actual = [weights(*shape).to(dtype) + 10 for _ in range(world_size)]
        before = PerRank(weights(*shape).to(dtype) for _ in range(world_size))
        bounds = {} if dtype == torch.float64 else {"rtol": 1e-2}
        assert diagnosis(actual, expected, previous=before, **bounds) is None


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        (torch.full((37,), 3.0), torch.full((37,), 1.5)),
        (torch.full((37,), 1.7), torch.full((37,), 0.3)),
        (torch.tensor([4.0]), torch.tensor([1.0])),
        (torch.tensor([2.0, 4.0]), torch.tensor([0.5, 1.0])),
        (torch.tensor([1, 0]), torch.tensor([0, 1])),
        (torch.tensor([2, 4, 6]), torch.tensor([1, 2, 3])),
        (torch.tensor(0.0), torch.tensor(1.0)),
        (torch.tensor(0.37), torch.tensor(0.11)),
    ],
)
def test_little_evidence_gives_no_diagnosis(actual, expected):
    """Constants, small integers and lone numbers fit any story, so none is told."""
    actual, expected = (t.double() if t.is_floating_point() else t for t in (actual, expected))
    assert diagnosis([actual] * 4, expected) is None


def test_a_loss_that_is_the_world_size_times_too_large_is_told():
    """One number of full precision that is N times the reference to nine digits is no accident."""
    loss = weights()
    assert "a sum over the 4 ranks" in diagnosis([4 * loss] * 4, loss)


def test_a_loose_bound_needs_more_entries():
    """With two digits to compare, three entries prove nothing and many do."""
    few, many = weights(3, dtype=torch.bfloat16), weights(64, dtype=torch.bfloat16)
    assert diagnosis([4 * few] * 4, few, rtol=1e-2) is None
    assert "4 times" in diagnosis([4 * many] * 4, many, rtol=1e-2)


def test_replicas_are_one_observation():
    """Eight ranks that agree on three small integers are no more evidence than one."""
    assert diagnosis([torch.tensor([3, 6, 9])] * 8, torch.tensor([1, 2, 3])) is None


def test_uneven_shards_are_diagnosed_together():
    """Shards of different lengths share one factor."""
    expected = [weights(10), weights(9), weights(9)]
    assert "3 times" in diagnosis([3 * e for e in expected], expected)


def test_ranks_of_different_ndim_and_empty_shards_do_no_harm():
    """What differs in shape over ranks is compared rank by rank."""
    expected = [weights(3, 4), weights(5), weights(0)]
    actual = [weights(3, 4), weights(5), weights(0)]
    assert diagnosis(actual, expected) is None


def test_significant_bits_count_from_the_first_to_the_last_digit():
    """Round numbers have few binary digits, whatever their size."""
    values = torch.tensor([0.0, 1.0, -4.0, 3.0, 0.625, 0.1, math.nan, math.inf], dtype=torch.float64)
    assert significant_bits(values).tolist()[:5] == [0, 1, 1, 2, 3]
    assert significant_bits(values)[5] > 50
    assert significant_bits(values)[6:].tolist() == [0, 0]


def test_a_loosened_bound_never_tightens():
    """A hypothesis that shrinks values does not shrink the rounding error it was computed with."""
    assert Bound(rtol=1e-9, atol=1e-11).loosened(0.25) == Bound(rtol=1e-9, atol=1e-11)
    assert Bound(rtol=1.0, atol=2.0).loosened(-3) == Bound(rtol=3.0, atol=6.0)


def test_a_rearrangement_must_also_predict_what_is_right():
    """Some pairs exchanged across the diagonal are no transpose: the others stayed where they are."""
    expected = weights(6, 6)
    actual = expected.clone()
    actual[[0, 1, 2, 0], [1, 0, 0, 2]] = expected[[1, 0, 0, 2], [0, 1, 2, 0]]
    assert diagnosis(actual, expected) == "The right entries in the wrong order."


def test_small_integers_in_another_order_prove_nothing():
    """Thirty draws of four values are the same multiset as others too often."""
    expected = torch.arange(4).repeat(8)
    assert diagnosis(expected[torch.randperm(32)], expected) is None


def test_numbers_of_a_tensors_own_dtype_are_no_narrower_dtype():
    """That every entry of a float32 tensor is a float32 number says nothing."""
    expected = torch.randn(37)
    noise = torch.randint(1, 9, (37,)) * torch.finfo(torch.float32).eps
    assert diagnosis(expected * (1 + noise), expected, rtol=1e-9, atol=0) is None


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        (torch.zeros_like, "Yours is 0"),
        (lambda e: e.float().double(), "float32"),
        (torch.randn_like, "Along dim 0 only [0:4] is wrong."),
    ],
    ids=["zero", "rounded", "noise"],
)
def test_statements_of_fact_need_four_entries(mistake, told):
    """Three entries that are zero, rounded or side by side may be an accident, four are told."""
    expected = weights(9)
    three, four = (torch.cat([mistake(expected)[:count], expected[count:]]) for count in (3, 4))
    assert diagnosis(three, expected) is None
    assert told in diagnosis(four, expected)


@pytest.mark.parametrize(("wrong_columns", "told"), [(4, None), (6, "Along dim 0 only [0:3] is right.")])
def test_a_block_is_wrong_when_most_of_its_entries_are(wrong_columns, told):
    """Rows with 6 of 10 entries wrong are wrong rows; with 4 of 10 they are right rows with noise."""
    expected = weights(9, 10)
    actual = expected.clone()
    for row in range(3, 9):
        actual[row, torch.randperm(10)[:wrong_columns]] = weights(wrong_columns)
    assert diagnosis(actual, expected) == told


def test_uneven_wrong_shards_are_never_summed():
    """Shards that differ in length have no sum over ranks."""
    assert diagnosis([weights(3), weights(2)], [weights(3), weights(2)]) is None


def test_one_wrong_rank_of_two_leaves_no_pattern():
    """That one rank of two is right is what the list of ranks says already."""
    expected = weights(37)
    assert diagnosis([expected, weights(37)], expected) is None


def test_a_constant_block_is_not_right_for_a_reason():
    """Ones where ones are due are right by chance, whatever the rest."""
    expected = torch.cat([torch.ones(8, dtype=torch.float64), weights(8)])
    actual = torch.cat([torch.ones(8, dtype=torch.float64), weights(8)])
    assert diagnosis(actual, expected) is None
