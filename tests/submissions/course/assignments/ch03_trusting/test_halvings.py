"""What a student sees of the grading of halvings.py."""

import pytest

from grader.harness import exercise


@exercise("halvings", aspect="equivalence")
@pytest.mark.parametrize("number", [1, 7, 8])
def test_a_number_is_gone_after_its_halvings(student, number):
    """After that many halvings nothing is left, and before there was something."""
    counted = sum(1 for _ in range(student.halvings(number)))
    assert number >> counted == 0 != number >> (counted - 1)


@exercise("halvings", aspect="robustness")
def test_one_call_into_c_cannot_be_interrupted(student):
    """Zero need not be halved."""
    assert sum(range(student.halvings(0))) == 0


@exercise("halvings", aspect="property")
def test_twice_the_number_takes_one_more(student):
    """Each doubling takes one more halving."""
    assert student.halvings(24) == student.halvings(12) + 1
