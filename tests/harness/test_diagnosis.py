"""Wrong numbers, as real distributed code makes them, and wrong shapes: what the student is told."""

import math

import pytest
import torch

from grader.harness import PerRank
from grader.harness.compare.diagnosis import explain_shape
from grader.harness.mistake import Mistake
from tests.harness.comparing import diagnosis, mismatch, per_rank, weights

pytestmark = pytest.mark.usefixtures("seed")

WORLD_SIZES = [2, 3, 4, 8]


@pytest.mark.parametrize("world_size", WORLD_SIZES)
def test_a_sum_where_a_mean_is_due_is_a_factor_of_the_world_size(world_size):
    """All-reduced gradients that were never divided are the world size times the mean."""
    grads = per_rank(world_size, 5, 7)
    sentence = diagnosis([sum(grads)] * world_size, sum(grads) / world_size)
    assert (
        sentence
        == f"Yours is {world_size} times the reference everywhere: a sum over the {world_size} ranks where a mean is due?"
    )


@pytest.mark.parametrize("world_size", WORLD_SIZES)
def test_a_mean_divided_twice_is_told(world_size):
    """Dividing the averaged gradients again leaves 1/N of them."""
    mean = weights(37)
    sentence = diagnosis([mean / world_size] * world_size, mean)
    assert sentence.startswith(
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
    """A norm whose root is taken before the reduction is wrong by the root of the world size."""
    expected = weights(37)
    assert "a root taken on the wrong side" in diagnosis([expected * 3**power] * 3, expected)


def test_a_factor_in_some_entries_is_said_to_hold_there_only():
    """A last bucket that was left as a sum is explained, but not with the word 'everywhere'."""
    expected = weights(40)
    actual = torch.cat([expected[:25], 4 * expected[25:]])
    assert diagnosis([actual] * 4, expected).startswith("Yours is 4 times the reference wherever it is wrong")


def test_a_factor_that_others_do_not_have_is_no_sum_over_ranks():
    """A gradient divided by the ranks that use it is a multiple of the mean, but then so would all others be."""
    grads = {"used": weights(5, 7), "unused": weights(6)}
    wrong = {"used": grads["used"], "unused": 3 * grads["unused"]}
    difference = mismatch(PerRank([wrong] * 3), grads, what="grads")
    assert difference.diagnosis == (
        "Yours is 3 times the reference everywhere, while grads['used'] is right: "
        "is it scaled in another way than the others?"
    )
    assert difference.mistake is Mistake.SCALE_HERE


def test_what_is_right_by_chance_is_no_other_value():
    """Zeros, integers and what the step left alone are right whatever the scale is, so the sum is told."""
    x, before = weights(5, 7), weights(6)
    right = {"w": x, "frozen": before, "zeros": torch.zeros(9, dtype=torch.float64), "steps": torch.arange(9)}
    wrong = right | {"w": 3 * x}
    difference = mismatch(PerRank([wrong] * 3), right, previous=right | {"w": weights(5, 7)})
    assert difference.diagnosis.endswith("a sum over the 3 ranks where a mean is due?")
    assert difference.mistake is Mistake.SUM_FOR_MEAN


def test_a_factor_for_each_channel_is_told():
    """A variance that is wrong in each channel scales each channel by another factor."""
    x = weights(40, 3)
    factors = torch.tensor([1.5, 0.75, 1.0], dtype=torch.float64)
    difference = mismatch(PerRank([x * factors] * 2), x)
    assert difference.diagnosis.startswith(
        "Along dim 1 yours is a multiple of the reference, another for each index (1.5, 0.75)"
    )
    assert difference.mistake is Mistake.SCALE_PER_SLICE


def test_digits_lost_in_each_channel_are_told():
    """A variance as a difference of two close numbers has only its first digits, in each channel others."""
    x = 1e5 + weights(40, 3)
    mean = x.mean(0)
    right = (x - mean) / ((x - mean) ** 2).mean(0).sqrt()
    wrong = (x - mean) / ((x**2).mean(0) - mean**2).sqrt()
    weight, bias = weights(3), weights(3)
    for actual, expected in ((wrong, right), (wrong * weight + bias, right * weight + bias)):
        difference = mismatch(PerRank([actual] * 2), expected)
        assert "digits lost in a difference of two close numbers" in difference.diagnosis
        assert difference.mistake is Mistake.SCALE_DIGITS


def test_noise_is_no_factor_for_each_channel():
    """One entry that no factor explains, or slices of one entry, and nothing is said."""
    x = weights(40, 3)
    wrong = x * torch.tensor([1.5, 0.75, 1.25], dtype=torch.float64)
    wrong[7, 1] += 1e-6
    assert diagnosis([wrong] * 2, x) is None
    assert diagnosis([weights(1, 9)] * 2, weights(1, 9)) is None


def test_the_number_of_all_ranks_for_that_of_a_group_is_told():
    """Where two of four ranks hold a value, halves are divided by four instead of two, and doubles are their sum."""
    x = weights(37)
    expected = PerRank([x, None, None, x])
    halved = mismatch(PerRank([x / 2, None, None, x / 2]), expected)
    doubled = mismatch(PerRank([2 * x, None, None, 2 * x]), expected)
    assert halved.diagnosis.endswith("divided by the number of all 4 ranks where that of the group's 2 is due?")
    assert doubled.diagnosis.endswith("multiplied by the number of all 4 ranks where that of the group's 2 is due?")
    assert halved.mistake is doubled.mistake is Mistake.OTHER_GROUP
    expected = PerRank([x, x, None, x])
    summed = mismatch(PerRank([3 * x, 3 * x, None, 3 * x]), expected)
    assert summed.diagnosis.endswith("a sum over the 3 ranks of the group where a mean is due?")


def test_one_process_is_never_told_about_ranks():
    """Without ranks a factor is explained as a scale, not as a sum over ranks."""
    expected = weights(37)
    sentence = diagnosis(2 * expected, expected)
    assert sentence == "Yours is 2 times the reference everywhere: a scale that is missing, or applied twice?"


def test_any_other_factor_is_told_as_a_number():
    """A forgotten 1/(1-p) shows as its ratio."""
    expected = weights(37)
    assert diagnosis([1.25 * expected] * 4, expected).startswith("Yours is 1.25 times the reference everywhere")


def test_a_factor_of_its_own_on_each_rank_is_told():
    """Weighting by the local count instead of the global one scales each rank differently."""
    expected = per_rank(3, 11)
    sentence = diagnosis([expected[0] * 1.5, expected[1] * 0.75, expected[2] * 1.2], expected)
    assert "another on each rank (1.5 on rank 0, 0.75 on rank 1, 1.2 on rank 2)" in sentence


def test_a_factor_of_its_own_in_some_entries_of_each_rank_is_told():
    """Zeros are right whatever they are multiplied by, and other entries may be right too."""
    expected = per_rank(3, 11)
    actual = [torch.cat([e[:4], e[4:] * factor]) for e, factor in zip(expected, (1.5, 0.75, 1.2), strict=True)]
    assert "another on each rank" in diagnosis(actual, expected)


@pytest.mark.parametrize(
    ("factor", "phrase"),
    [
        (4.0, "is 4 times the reference's everywhere: a sum over the 4 ranks"),
        (-1.0, "goes the opposite way everywhere: the sign is flipped"),
        (1.7, "is 1.7 times the reference's everywhere: a scale"),
    ],
)
def test_a_step_of_the_wrong_length_is_told_from_the_values_before(factor, phrase):
    """Parameters updated with summed gradients are no multiple of the right ones, but their step is."""
    before, step = weights(6, 6), 0.1 * weights(6, 6)
    assert phrase in diagnosis([before + factor * step] * 4, before + step, previous=before)


@pytest.mark.parametrize("factor", [4.0, 1.7])
def test_a_step_of_the_wrong_length_in_some_entries_is_told(factor):
    """A step that was too long in only half of a flat buffer is explained for that half."""
    before, step = weights(40), 0.1 * weights(40)
    actual = before + step * torch.tensor([1.0, factor], dtype=torch.float64).repeat_interleave(20)
    sentence = diagnosis([actual] * 4, before + step, previous=before)
    assert f"is {factor:g} times the reference's wherever it is wrong" in sentence


def test_one_number_can_tell_a_step_that_the_world_size_explains():
    """A single parameter of full precision is enough for a named factor, as it is for values."""
    before, step = weights(), weights()
    assert "is 4 times the reference's" in diagnosis([before + 4 * step] * 4, before + step, previous=before)
    assert "values from before" in diagnosis([before] * 4, before + step, previous=before)


def test_ranks_that_were_not_updated_are_told():
    """If only rank 0 took the step, the others still hold what they held before."""
    before, after = weights(37), weights(37)
    sentence = diagnosis([after, before, before, before], after, previous=before)
    assert sentence == "Only rank 0 was updated: the other ranks hold the values from before."


def test_values_from_before_are_told():
    """Parameters of the step before on every rank are stale."""
    before = per_rank(3, 37)
    sentence = diagnosis(before, per_rank(3, 37), previous=PerRank(before))
    assert sentence == "Yours equals the values from before everywhere: one step stale, or never updated?"


def test_one_rank_that_was_not_updated_is_no_case_of_rank_0():
    """'Only rank 0' is said only if rank 0 alone is right."""
    before, after = weights(37), weights(37)
    assert "one step stale" in diagnosis([before, after, before], after, previous=before)


@pytest.mark.parametrize(("sign", "phrase"), [(1, "added on top"), (-1, "subtracted")])
def test_values_from_before_counted_in_or_left_out_are_told(sign, phrase):
    """Gradients that were never cleared hold the old ones as well; a rank may also leave out its own part."""
    before, expected = weights(37), weights(37)
    assert phrase in diagnosis([expected + sign * before] * 2, expected, previous=before)


def test_a_previous_value_of_another_shape_is_ignored():
    """What was before may have had another shape, and then explains nothing."""
    assert diagnosis([weights(5)] * 2, weights(5), previous=weights(1)) is None


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


def test_an_offset_in_some_entries_is_said_to_hold_there_only():
    """A bias that was added twice to scattered entries is explained for those."""
    expected = weights(37)
    actual = expected.clone()
    actual[::5] += 0.75
    assert diagnosis(actual, expected).startswith("Yours is 0.75 too large wherever it is wrong")


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
    ("actual", "expected", "world_size", "phrase"),
    [
        ((4, 8), (8, 4), 4, ("Transposed", Mistake.TRANSPOSED)),
        ((32,), (8, 4), 4, ("reshape", Mistake.SHAPE)),
        ((8, 16), (8, 4), 4, ("Dim 1 is 4 times too long", Mistake.WHOLE_FOR_SHARD)),
        ((2, 8), (8, 8), 4, ("Dim 0 is 4 times too short", Mistake.SHARD_FOR_WHOLE)),
        ((8, 16), (8, 4), 1, None),
        ((8, 4, 1, 2), (8, 4), 2, None),
        ((8, 5), (8, 4), 4, None),
        ((16, 16), (4, 4), 4, None),
    ],
)
def test_wrong_shapes_have_their_own_hints(actual, expected, world_size, phrase):
    """A shape that is the whole, the shard or the transpose of what is expected gets that hint."""
    sentence = explain_shape(actual, expected, world_size)
    assert (sentence is None) == (phrase is None)
    assert sentence is None or (phrase[0] in sentence.sentence and phrase[1] is sentence.mistake)
