"""What only staff see of the grading of total.py."""

import random

from grader.harness import exercise


def random_lists():
    """Return lists that nobody has seen before, of numbers that no machine word holds."""
    return [[random.randrange(-(10**30), 10**30) for _ in range(random.randrange(2, 9))] for _ in range(5)]


def exactly(value):
    """Return a value with its type: 1.0 and True are equal to 1, and are not it."""
    return type(value).__name__, value


@exercise("total", aspect="equivalence")
def test_the_sum_of_large_numbers(student):
    """No number is too large to be added."""
    for values in random_lists():
        assert exactly(sum(values)) == exactly(student.total(values))


@exercise("total", aspect="robustness")
def test_the_sum_of_nothing(student):
    """The sum of an empty list is zero."""
    assert exactly(0) == exactly(student.total([]))


@exercise("greatest", aspect="equivalence")
def test_the_greatest_of_large_numbers(student):
    """No number is too large to be compared."""
    for values in random_lists():
        assert exactly(max(values)) == exactly(student.greatest(values))
