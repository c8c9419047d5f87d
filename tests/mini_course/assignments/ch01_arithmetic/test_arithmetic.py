"""What a student sees of the grading of arithmetic.py."""

import math

import pytest
from grader.harness import exercise

from assignments.ch01_arithmetic import programs


@exercise("gcd", aspect="equivalence")
@pytest.mark.parametrize(("a", "b"), [(12, 18), (18, 12), (17, 5)])
def test_gcd_is_the_greatest_common_divisor(student, a, b):
    """The result is the largest number that divides both."""
    assert student.gcd(a, b) == math.gcd(a, b)


@exercise("gcd", aspect="robustness")
def test_gcd_with_zero_is_the_other_number(student):
    """Zero is divided by everything, so the other number is the result."""
    assert student.gcd(7, 0) == 7


@exercise("sieve", aspect="equivalence")
def test_primes_below_lists_every_prime_once(launch):
    """The primes below 30 are found, in order."""
    run = launch(programs.sieve_many, 1, shared={"limits": [30]}, process_group=False)
    assert run["primes"][0] == [[2, 3, 5, 7, 11, 13, 17, 19, 23, 29]]


@exercise("sieve", aspect="property")
@pytest.mark.parametrize(("number", "expected"), [(2, True), (9, False), (1, False)])
def test_is_prime_agrees_with_the_definition(student, number, expected):
    """A prime has exactly two divisors."""
    assert student.is_prime(number) is expected
