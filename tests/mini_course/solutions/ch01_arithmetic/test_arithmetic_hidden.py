"""What only staff see of the grading of arithmetic.py."""

import math

import pytest
from grader.harness import exercise

from assignments.ch01_arithmetic import programs


@exercise("gcd", aspect="equivalence")
@pytest.mark.parametrize(("a", "b"), [(1071, 462), (2**40, 6**20), (1, 1)])
def test_gcd_of_large_numbers(student, a, b):
    """The result is right far beyond what counting down could reach."""
    assert student.gcd(a, b) == math.gcd(a, b)


@exercise("sieve", aspect="robustness")
def test_nothing_is_prime_below_two(launch):
    """Limits up to 2 give an empty list, and the limit itself is left out."""
    run = launch(programs.sieve_many, 1, shared={"limits": [0, 1, 2, 3]}, process_group=False)
    assert run["primes"][0] == [[], [], [], [2]]
