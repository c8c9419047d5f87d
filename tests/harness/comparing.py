"""Random values that a test compares, and what is said of their differences."""

import pytest
import torch

from grader.harness import PerRank, assert_matches
from grader.harness.compare.difference import Difference, Mismatch


def weights(*shape, dtype=torch.float64):
    """Return random numbers of full precision."""
    return torch.randn(shape, dtype=torch.float64).to(dtype)


def per_rank(world_size, *shape):
    """Return a list with one random tensor for each rank."""
    return [weights(*shape) for _ in range(world_size)]


def mismatch(actual, expected, **options) -> Difference:
    """Return how two values differ."""
    with pytest.raises(Mismatch) as caught:
        assert_matches(actual, expected, **options)
    assert str(caught.value) == str(caught.value.difference)
    assert caught.value.mistake is caught.value.difference.mistake
    return caught.value.difference


def diagnosis(actual, expected, **options):
    """Return the sentence about lists of one tensor per rank; None without one."""
    actual = PerRank(actual) if isinstance(actual, list) else actual
    expected = PerRank(expected) if isinstance(expected, list) else expected
    return mismatch(actual, expected, **options).diagnosis
