"""Mistakes of real distributed code, planted in realistic data, and the sentence that tells each."""

import math

import pytest
import torch

from grader.harness import PerRank, assert_matches
from grader.harness.diagnosis import explain_shape
from grader.harness.difference import Mismatch

WORLD_SIZES = [2, 3, 4, 8]


@pytest.fixture(autouse=True)
def seed():
    """Every test draws the same numbers each time."""
    torch.manual_seed(0)


def weights(*shape, dtype=torch.float64):
    """Return random numbers of full precision."""
    return torch.randn(shape, dtype=torch.float64).to(dtype)


def per_rank(world_size, *shape):
    """One tensor of its own on each rank."""
    return [weights(*shape) for _ in range(world_size)]


def diagnosis(actual, expected, **options):
    """Return the sentence about lists of one tensor per rank; None without one."""
    actual = PerRank(actual) if isinstance(actual, list) else actual
    expected = PerRank(expected) if isinstance(expected, list) else expected
    with pytest.raises(Mismatch) as caught:
        assert_matches(actual, expected, **options)
    return caught.value.difference.diagnosis


@pytest.mark.parametrize("world_size", WORLD_SIZES)
def test_a_sum_where_a_mean_is_due_is_a_factor_of_the_world_size(world_size):
    """All-reduced gradients that were never divided are the world size times the mean."""
    grads = per_rank(world_size, 5, 7)
    said = diagnosis([sum(grads)] * world_size, sum(grads) / world_size)
    assert (
        said
        == f"Yours is {world_size} times the reference everywhere: a sum over the {world_size} ranks where a mean is due?"
    )


@pytest.mark.parametrize("world_size", WORLD_SIZES)
def test_a_mean_divided_twice_is_told(world_size):
    """Dividing the averaged gradients again leaves 1/N of them."""
    mean = weights(37)
    said = diagnosis([mean / world_size] * world_size, mean)
    assert said.startswith(
        f"Yours is {1 / world_size:.6g} times the reference everywhere: divided by the {world_size} ranks twice"
    )


@pytest.mark.parametrize(
    ("factor", "cause"),
    [
        (16.0, "multiplied by the world size where it should be divided"),
        (1 / 16, "divided by the world size where it should be multiplied"),
        (2.0, "counted twice"),
        (0.5, "halved twice"),
        (-1.0, "minus the reference everywhere: the sign is flipped"),
    ],
)
def test_other_factors_have_their_own_cause(factor, cause):
    """Squares of the world size, 2, 1/2 and -1 are named."""
    expected = weights(37)
    assert cause in diagnosis([factor * expected] * 4, expected)


@pytest.mark.parametrize("power", [0.5, -0.5])
def test_a_root_on_the_wrong_side_of_a_sum_is_told(power):
    """A norm whose root is taken before the reduction is off by the root of the world size."""
    expected = weights(37)
    assert "a root taken on the wrong side" in diagnosis([expected * 3**power] * 3, expected)


def test_a_factor_in_some_entries_is_said_to_hold_there_only():
    """The last bucket alone left as a sum is explained, but not called 'everywhere'."""
    expected = weights(40)
    actual = torch.cat([expected[:25], 4 * expected[25:]])
    assert diagnosis([actual] * 4, expected).startswith("Yours is 4 times the reference wherever it is wrong")


def test_one_process_is_never_told_about_ranks():
    """Without ranks a factor is a factor, and no sum over ranks."""
    expected = weights(37)
    said = diagnosis(2 * expected, expected)
    assert said == "Yours is 2 times the reference everywhere: a scale that is missing, or applied twice?"


def test_any_other_factor_is_told_as_a_number():
    """A forgotten 1/(1-p) shows as the ratio."""
    expected = weights(37)
    assert diagnosis([1.25 * expected] * 4, expected).startswith("Yours is 1.25 times the reference everywhere")


def test_a_factor_of_its_own_on_each_rank_is_told():
    """Weighting by the local count instead of the global one scales each rank differently."""
    expected = per_rank(3, 11)
    said = diagnosis([expected[0] * 1.5, expected[1] * 0.75, expected[2] * 1.2], expected)
    assert "another on each rank (1.5 on rank 0, 0.75 on rank 1, 1.2 on rank 2)" in said


@pytest.mark.parametrize(
    ("factor", "told"),
    [
        (4.0, "is 4 times the reference's everywhere: a sum over the 4 ranks"),
        (-1.0, "goes the opposite way everywhere: the sign is flipped"),
        (1.7, "is 1.7 times the reference's everywhere: a scale"),
    ],
)
def test_a_step_of_the_wrong_length_is_told_from_the_values_before(factor, told):
    """Parameters updated with summed gradients are no multiple of the right ones, but their step is."""
    before, step = weights(6, 6), 0.1 * weights(6, 6)
    assert told in diagnosis([before + factor * step] * 4, before + step, previous=before)


def test_ranks_that_were_not_updated_are_told():
    """If only rank 0 took the step, the others still hold what they held before."""
    before, after = weights(37), weights(37)
    said = diagnosis([after, before, before, before], after, previous=before)
    assert said == "Only rank 0 was updated: the other ranks hold the values from before."


def test_values_from_before_are_told():
    """Parameters of the step before on every rank are stale."""
    before = per_rank(3, 37)
    said = diagnosis(before, per_rank(3, 37), previous=PerRank(before))
    assert said == "Yours equals the values from before everywhere: one step stale, or never updated?"


def test_one_rank_that_was_not_updated_is_no_case_of_rank_0():
    """'Only rank 0' is said of rank 0 alone."""
    before, after = weights(37), weights(37)
    assert "one step stale" in diagnosis([before, after, before], after, previous=before)


@pytest.mark.parametrize(("sign", "told"), [(1, "added on top"), (-1, "subtracted")])
def test_values_from_before_counted_in_or_left_out_are_told(sign, told):
    """Gradients that were never cleared hold the old ones as well; a rank may also leave out its own part."""
    before, due = weights(37), weights(37)
    assert told in diagnosis([due + sign * before] * 2, due, previous=before)


def test_a_previous_value_of_another_shape_is_ignored():
    """What was before may have had another shape, and then explains nothing."""
    assert diagnosis([weights(5)] * 2, weights(5), previous=weights(1)) is None


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
    """Three ranks of four in a circle are listed."""
    expected = per_rank(4, 37)
    actual = [expected[2], expected[1], expected[3], expected[0]]
    told = "Ranks are mixed up: rank 0 holds what rank 2 should, rank 2 holds what rank 3 should, rank 3 holds what rank 0 should."
    assert diagnosis(actual, expected) == told


def test_the_same_part_on_all_ranks_is_told():
    """A broadcast instead of a scatter leaves every rank with rank 0's part."""
    expected = per_rank(4, 37)
    assert diagnosis([expected[0]] * 4, expected).startswith("All wrong ranks hold what rank 0 should")


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


def test_the_only_right_block_is_named():
    """One shard right and the rest wrong is told with its place and number."""
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


def test_different_right_blocks_are_listed_by_rank():
    """Where each rank has another block right, each is listed."""
    expected = weights(12)
    actual = [weights(12), weights(12)]
    actual[0][6:8] = expected[6:8]
    actual[1][0:3] = expected[0:3]
    assert diagnosis(actual, expected) == "Along dim 0 only [6:8] on rank 0, [0:3] on rank 1 is right."


def test_one_right_rank_is_told():
    """A reduce without a broadcast leaves one rank right where all should be."""
    expected = weights(37)
    said = diagnosis([weights(37), weights(37), expected, weights(37)], expected)
    assert said.startswith("Only rank 2 is right")


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


def test_entries_in_no_order_are_told():
    """The same entries in any order are the last thing that order can explain."""
    expected = weights(37)
    assert diagnosis(expected[torch.randperm(37)], expected) == "The right entries in the wrong order."


@pytest.mark.parametrize("narrow", [torch.float32, torch.bfloat16, torch.float16])
def test_a_narrower_dtype_on_the_way_is_told(narrow):
    """Numbers that fit a narrower dtype exactly, close to the reference, passed through it."""
    expected = weights(5, 7)
    name = str(narrow).removeprefix("torch.")
    assert f"is a {name} number" in diagnosis([expected.to(narrow).double()] * 2, expected)


def test_a_computation_in_a_narrower_dtype_is_told():
    """A product computed in float32 is no rounded product, but its entries are float32 numbers."""
    x, w = weights(5, 64), weights(64, 7)
    assert "is a float32 number" in diagnosis([(x.float() @ w.float()).double()] * 2, x @ w)


@pytest.mark.parametrize("to_integer", [torch.trunc, torch.floor, torch.round])
def test_a_lost_fraction_is_told(to_integer):
    """An integer buffer in between drops the fractional part."""
    expected = 100 * weights(37)
    assert diagnosis([to_integer(expected)] * 2, expected).startswith("The fractional part is lost")


def test_a_constant_offset_is_told():
    """A bias that is added once per rank shifts every entry alike."""
    expected = weights(37)
    assert diagnosis([expected + 0.75] * 2, expected).startswith("Yours is 0.75 too large everywhere")
    assert diagnosis([expected - 0.75] * 2, expected).startswith("Yours is 0.75 too small everywhere")


def test_indices_off_by_one_are_told():
    """Integer tensors are diagnosed like others."""
    expected = torch.randperm(1000)[:37]
    assert diagnosis([expected + 1] * 2, expected).startswith("Yours is 1 too large everywhere")


def test_zeros_are_told():
    """A buffer that nobody wrote holds zeros."""
    expected = weights(37)
    assert diagnosis([torch.zeros(37, dtype=torch.float64)] * 2, expected).startswith("Yours is 0 everywhere")


def test_zeros_in_some_entries_are_told():
    """Zeros in scattered places are zeros where it is wrong."""
    expected = weights(8, 8)
    actual = expected.clone()
    actual[[0, 2, 5, 7], [3, 1, 6, 0]] = 0
    assert diagnosis(actual, expected).startswith("Yours is 0 wherever it is wrong")


def test_nan_and_inf_are_told():
    """Where all that is wrong is nan or inf, arithmetic broke down."""
    expected = weights(37)
    actual = expected.clone()
    actual[3], actual[5] = math.nan, math.inf
    assert diagnosis(actual, expected).startswith("Every wrong entry is nan or inf")


@pytest.mark.parametrize(
    ("actual", "expected", "world_size", "told"),
    [
        ((4, 8), (8, 4), 4, "Transposed"),
        ((32,), (8, 4), 4, "reshape"),
        ((8, 16), (8, 4), 4, "Dim 1 is 4 times too long"),
        ((2, 8), (8, 8), 4, "Dim 0 is 4 times too short"),
        ((8, 16), (8, 4), 1, None),
        ((8, 4, 1, 2), (8, 4), 2, None),
        ((8, 5), (8, 4), 4, None),
        ((16, 16), (4, 4), 4, None),
    ],
)
def test_wrong_shapes_have_their_own_hints(actual, expected, world_size, told):
    """A shape that is the whole, the shard or the transpose of what is due says so."""
    said = explain_shape(actual, expected, world_size)
    assert said is None if told is None else told in said
