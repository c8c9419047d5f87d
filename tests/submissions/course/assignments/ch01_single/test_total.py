"""What a student sees of the grading of total.py."""

import random

from grader.harness import exercise


def random_lists():
    """Return lists that nobody has seen before."""
    return [[random.randrange(-(10**9), 10**9) for _ in range(random.randrange(2, 9))] for _ in range(5)]


def exactly(value):
    """Return a value with its type: 1.0 and True are equal to 1, and are not it."""
    return type(value).__name__, value


@exercise("total", aspect="equivalence")
def test_the_sum_of_any_list(student):
    """Whatever the numbers are, the result is their sum."""
    for values in random_lists():
        assert exactly(sum(values)) == exactly(student.total(values))


@exercise("greatest", aspect="equivalence")
def test_the_greatest_of_any_list(student):
    """Whatever the numbers are, the result is the greatest of them."""
    for values in random_lists():
        assert exactly(max(values)) == exactly(student.greatest(values))
