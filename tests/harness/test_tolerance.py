"""How far a value may be from its reference, in each dtype."""

import math
from fractions import Fraction

import pytest
import torch

from course_env.errors import CatalogError
from grader.harness import PerRank, assert_matches
from tests.harness.comparing import mismatch, weights

pytestmark = pytest.mark.usefixtures("seed")


@pytest.mark.parametrize("value", [1.0, 0.5, 1e6, -7.5])
def test_float64_agrees_within_one_in_a_billion(value):
    """The relative bound of float64 is 1e-9: half of it passes, twice of it fails."""
    expected = torch.tensor([value], dtype=torch.float64)
    assert_matches(expected * (1 + 5e-10), expected)
    mismatch(expected * (1 + 2e-9), expected)


def test_float64_near_zero_agrees_within_the_absolute_bound():
    """Where zero is due, 5e-12 passes and 2e-11 fails."""
    zero = torch.zeros(1, dtype=torch.float64)
    assert_matches(zero + 5e-12, zero)
    mismatch(zero + 2e-11, zero)


def test_explicit_bounds_replace_the_rules():
    """Given bounds are what they say, also where they are 0."""
    one = torch.ones(1, dtype=torch.float64)
    assert_matches(one * 1.009, one, rtol=1e-2)
    mismatch(one * 1.011, one, rtol=1e-2)
    assert_matches(one + 0.5, one, atol=0.6)
    mismatch(one + 1e-15, one, rtol=0, atol=0)
    mismatch(one * 0 + 1e-12, one * 0, atol=0)


def test_an_explicit_rtol_in_narrow_dtypes_is_relative_to_the_largest_entry():
    """Entries near zero carry the rounding of their large neighbours; an explicit atol overrides that."""
    expected = torch.tensor([100.0, 0.0])
    assert_matches(expected + torch.tensor([0.0, 0.009]), expected, rtol=1e-4)
    mismatch(expected + torch.tensor([0.0, 0.011]), expected, rtol=1e-4)
    mismatch(expected + torch.tensor([0.0, 0.009]), expected, rtol=1e-4, atol=1e-6)


def test_moved_values_are_compared_exactly_with_rtol_0():
    """rtol=0 asks for the same bits in any dtype."""
    x = torch.randn(37, dtype=torch.bfloat16)
    assert_matches(x.clone(), x, rtol=0)
    mismatch(x.nextafter(x + 1), x, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float8_e4m3fn])
def test_narrow_dtypes_need_to_be_told_the_bound(dtype):
    """Below float64 no fixed bound is right, and the test's author is told what to pass."""
    x = torch.ones(3).to(dtype)
    with pytest.raises(CatalogError, match=r"result\['x'\] is expected in .*exact=.*rtol="):
        assert_matches({"x": x}, {"x": x}, atol=1e-3)


@pytest.mark.parametrize("exact", [torch.ones(3), torch.ones(4, dtype=torch.float64), 1.0, [torch.ones(3)]])
def test_the_exact_reference_must_be_the_same_tensor_in_float64(exact):
    """An exact= of another dtype, shape or kind is refused, because its error would mean nothing."""
    with pytest.raises(CatalogError, match="exact="):
        assert_matches(torch.ones(3), torch.ones(3), exact=exact)


@pytest.mark.parametrize("bounds", [{"rtol": 1e-4}, {"atol": 1e-4}])
def test_two_ways_to_set_the_bound_are_refused(bounds):
    """exact= and an explicit bound contradict each other."""
    x = torch.ones(3)
    with pytest.raises(CatalogError, match="one or the other"):
        assert_matches(x, x, exact=x.double(), **bounds)


def test_the_bound_of_a_narrow_dtype_is_four_times_its_own_error_and_a_floor():
    """4 * max|expected - exact| + 2 * sqrt(ranks) * eps * max|expected|, to the letter."""
    expected = torch.tensor([2.0, 1.0])
    exact = expected.double() + torch.tensor([0.0, 1e-3])
    allowed = 4 * 1e-3 + 2 * 2 * torch.finfo(torch.float32).eps * 2.0
    inside, outside = (PerRank([expected + torch.tensor([0.0, factor * allowed])] * 4) for factor in (0.99, 1.01))
    assert_matches(inside, expected, exact=exact)
    assert mismatch(outside, expected, exact=exact).allowed == pytest.approx(allowed)


def test_each_rank_has_the_bound_of_its_own_reference():
    """A large tensor on one rank does not loosen the bound of a small one on another."""
    large, small = torch.randn(37) * 1e6, torch.randn(37)
    expected = PerRank([large, small])
    exact = PerRank([large.double(), small.double()])
    assert mismatch(PerRank([large, small + 0.1]), expected, exact=exact).rank == 1


def test_an_overflow_in_the_reference_does_not_loosen_its_bound():
    """Entries that are inf in a narrow dtype are due as inf, and say nothing about the others."""
    exact = torch.tensor([1e6, 0.1], dtype=torch.float64)
    expected = exact.half()
    assert_matches(expected.clone(), expected, exact=exact)
    mismatch(expected + torch.tensor([0.0, 0.01]).half(), expected, exact=exact)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("world_size", [2, 4, 8])
def test_correct_parallel_code_passes_in_narrow_dtypes(dtype, world_size):
    """A row-parallel product summed over ranks in any order stays within the bound of the unsharded product."""
    for _ in range(20):
        x, w = weights(5, 8 * world_size).to(dtype), weights(8 * world_size, 7).to(dtype)
        parts = [a @ b for a, b in zip(x.chunk(world_size, 1), w.chunk(world_size), strict=True)]
        orders = PerRank(sum(parts[rank:] + parts[:rank]) for rank in range(world_size))
        assert_matches(orders, x @ w, exact=x.double() @ w.double())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_mistakes_fail_in_narrow_dtypes(dtype):
    """A partial sum that misses one of eight ranks is beyond the bound even in bfloat16."""
    parts = [weights(5, 7).to(dtype) for _ in range(8)]
    expected, exact = torch.stack(parts).sum(0), torch.stack(parts).double().sum(0)
    mismatch(PerRank([sum(parts[1:])] * 8), expected, exact=exact)


def test_nan_and_inf_agree_with_themselves():
    """A nan agrees with nan at the same place, inf with inf of the same sign."""
    value = torch.tensor([math.nan, math.inf, -math.inf, 1.0], dtype=torch.float64)
    assert_matches(value.clone(), value)
    assert mismatch(value.roll(1), value).num_wrong == 4
    assert mismatch(-value, value).num_wrong == 3
    assert_matches(math.nan, math.nan)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_nan_or_inf_where_a_number_is_due_is_the_largest_difference(bad):
    """One nan stands out among other wrong entries."""
    expected = torch.zeros(4, dtype=torch.float64)
    actual = torch.tensor([1e300, 0.0, bad, 0.0], dtype=torch.float64)
    difference = mismatch(actual, expected)
    assert (difference.index, difference.max_abs, difference.num_wrong) == ((2,), math.inf, 2)


@pytest.mark.parametrize("due", [math.nan, math.inf, -math.inf])
def test_a_number_where_nan_or_inf_is_due_is_wrong(due):
    """Nothing finite agrees with nan or inf, however loose the bound."""
    expected = torch.tensor([due], dtype=torch.float64)
    mismatch(torch.zeros(1, dtype=torch.float64), expected, rtol=1.0)
    mismatch(torch.zeros(1, dtype=torch.float64), expected, rtol=1.0, atol=1.0)


@pytest.mark.parametrize("shape", [(0,), (3, 0), ()])
def test_empty_and_0d_tensors_are_compared(shape):
    """Shape and dtype of an empty tensor count; a single number needs no index."""
    x = weights(*shape)
    assert_matches(x.clone(), x)
    mismatch(x.float(), x)
    mismatch(x[None], x)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8, torch.bool])
def test_integers_agree_exactly(dtype):
    """Integers and truth values have no tolerance, and rtol gives them none."""
    expected = torch.tensor([1, 0, 1]).to(dtype)
    assert_matches(expected.clone(), expected)
    assert mismatch(torch.tensor([1, 1, 1]).to(dtype), expected, rtol=10.0, atol=10.0).index == (1,)


def test_large_integers_are_compared_in_their_own_dtype():
    """Two int64 that float64 cannot tell apart still differ."""
    expected = torch.tensor([2**60])
    assert_matches(expected.clone(), expected)
    assert mismatch(expected + 1, expected).num_wrong == 1


def test_scalars_follow_the_rules_of_their_type():
    """Floats agree within the float64 bound, all else exactly, and an int may stand for a float."""
    assert_matches(0.1 + 0.2, 0.3)
    assert_matches(3, 3.0)
    assert_matches("Warmup", "Warmup")
    assert_matches(Fraction(1, 3), Fraction(2, 6))
    assert_matches(torch.bfloat16, torch.bfloat16)
    assert_matches(None, None)
    mismatch(0.3 + 1e-8, 0.3)
    mismatch(Fraction(1, 3), Fraction(1, 4))
    mismatch("warmup", "Warmup")
    mismatch(torch.float16, torch.bfloat16)
    mismatch(2**60, 2**60 + 1)
