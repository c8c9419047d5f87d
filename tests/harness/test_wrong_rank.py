"""Right numbers on the wrong rank, or only in part: what the student is told."""

import pytest
import torch

from tests.harness.comparing import diagnosis, per_rank, weights

pytestmark = pytest.mark.usefixtures("seed")

WORLD_SIZES = [2, 3, 4, 8]


@pytest.mark.parametrize(("shift", "back"), [(1, "r - 1"), (2, "r - 2"), (-1, "r + 1")])
def test_a_shift_over_ranks_is_told(shift, back):
    """A ring turned the wrong way gives every rank another rank's tensor."""
    expected = per_rank(5, 3, 4)
    actual = [expected[(rank - shift) % 5] for rank in range(5)]
    assert f"Every rank r holds what rank {back} (modulo 5) should" in diagnosis(actual, expected)


def test_two_swapped_ranks_are_told():
    """Ranks 1 and 3 with each other's shard are named."""
    expected = per_rank(4, 37)
    actual = [expected[0], expected[3], expected[2], expected[1]]
    assert (
        diagnosis(actual, expected)
        == "Ranks are swapped: rank 1 holds what rank 3 should, rank 3 holds what rank 1 should."
    )


def test_ranks_in_any_other_order_are_told():
    """Of four ranks, three that hold each other's values in a circle are listed."""
    expected = per_rank(4, 37)
    actual = [expected[2], expected[1], expected[3], expected[0]]
    phrase = "Ranks are mixed up: rank 0 holds what rank 2 should, rank 2 holds what rank 3 should, rank 3 holds what rank 0 should."
    assert diagnosis(actual, expected) == phrase


def test_the_same_part_on_all_ranks_is_told():
    """A broadcast instead of a scatter leaves every rank with rank 0's part."""
    expected = per_rank(4, 37)
    assert diagnosis([expected[0]] * 4, expected).startswith("All wrong ranks hold what rank 0 should")


def test_one_rank_with_anothers_part_is_told():
    """A single rank with the wrong shard is named with the rank whose shard it is."""
    expected = per_rank(4, 37)
    actual = [*expected[:3], expected[1]]
    assert diagnosis(actual, expected) == "Ranks are mixed up: rank 3 holds what rank 1 should."


@pytest.mark.parametrize("combined", ["sum", "mean"])
@pytest.mark.parametrize("world_size", WORLD_SIZES)
def test_a_missing_all_reduce_is_told(world_size, combined):
    """Where the sum or mean of what the ranks hold is the reference, nobody reduced."""
    parts = per_rank(world_size, 5, 7)
    expected = sum(parts) / (world_size if combined == "mean" else 1)
    assert diagnosis(parts, expected).startswith(f"The reference is the {combined} of what the ranks hold")


def test_an_unfilled_gather_is_told():
    """Ranks that are right in their own block only never gathered the others."""
    whole = weights(10, 3)
    actual = [torch.zeros_like(whole) for _ in range(4)]
    for rank, rows in enumerate(torch.arange(10).tensor_split(4)):
        actual[rank][rows] = whole[rows]
    assert diagnosis(actual, whole) == "Each rank is right only in its own block along dim 0: an all-gather is missing?"


def test_an_unfilled_gather_along_the_last_dim_is_told():
    """The block may lie along any dim, cut as torch.chunk does."""
    whole = weights(3, 10)
    actual = [weights(3, 10) for _ in range(4)]
    for rank, columns in enumerate(torch.arange(10).chunk(4)):
        actual[rank][:, columns] = whole[:, columns]
    assert "its own block along dim 1" in diagnosis(actual, whole)


def test_a_gather_to_one_rank_is_no_missing_all_gather():
    """Where one rank holds the whole, its own block is not all it has right."""
    whole = weights(12)
    actual = [whole] + [weights(12) for _ in range(3)]
    for rank in (1, 2, 3):
        actual[rank][3 * rank : 3 * rank + 3] = whole[3 * rank : 3 * rank + 3]
    assert diagnosis(actual, whole).startswith(
        "Along dim 0 only [3:6] (block 1 of 4) on rank 1, [6:9] (block 2 of 4) on rank 2"
    )


def test_the_only_right_block_is_named():
    """One right shard among wrong ones is named with its place and number."""
    expected = weights(16, 5)
    actual = weights(16, 5)
    actual[4:8] = expected[4:8]
    assert diagnosis([actual] * 4, expected) == "Along dim 0 only [4:8] (block 1 of 4) is right."


def test_the_only_wrong_block_is_named():
    """A last bucket that was never reduced is told by its place."""
    expected = weights(37)
    actual = expected.clone()
    actual[30:] = weights(7)
    assert diagnosis([actual] * 2, expected) == "Along dim 0 only [30:37] is wrong."


@pytest.mark.parametrize(
    ("size", "right", "phrase"),
    [
        (37, [*range(7)], "Along dim 0 only [0:7] is right."),
        (5, [4], "Along dim 0 only [4:5] (block 2 of 4) is right."),
        (5, [1], "Along dim 0 only [1:2] is right."),
        (13, [0, 1, 2, 3, 10, 11, 12], "Along dim 0 only [4:10] is wrong."),
    ],
)
def test_the_shorter_block_is_told(size, right, phrase):
    """Of a right and a wrong block the shorter one is named, with its number if torch would cut it like that."""
    expected, actual = weights(size, 6), weights(size, 6)
    actual[right] = expected[right]
    assert diagnosis([actual] * 4, expected) == phrase
    assert diagnosis(actual, expected) == phrase.replace(" (block 2 of 4)", "")


def test_different_right_blocks_are_listed_by_rank():
    """Where each rank has another right block, each is listed."""
    expected = weights(12)
    actual = [weights(12), weights(12)]
    actual[0][6:8] = expected[6:8]
    actual[1][0:3] = expected[0:3]
    assert diagnosis(actual, expected) == "Along dim 0 only [6:8] on rank 0, [0:3] on rank 1 is right."


def test_one_right_rank_is_told():
    """A reduce without a broadcast leaves one rank right where all should be."""
    expected = weights(37)
    sentence = diagnosis([weights(37), weights(37), expected, weights(37)], expected)
    assert sentence.startswith("Only rank 2 is right")


@pytest.mark.parametrize(("count", "name"), [(1, "sum"), (3, "mean")])
def test_values_that_were_reduced_though_each_rank_keeps_its_own_are_told(count, name):
    """A gradient that is local, and was all-reduced, is the sum or the mean of all ranks' gradients."""
    own = per_rank(3, 5)
    assert diagnosis([sum(own) / count] * 3, own).startswith(f"Yours is the {name} of what the ranks should hold")


def test_noise_is_no_reduction():
    """One entry beside the sum, and nothing is said of a sum."""
    own = per_rank(3, 5)
    wrong = sum(own)
    wrong[2] += 1e-6
    assert "should hold" not in (diagnosis([wrong] * 3, own) or "")
