"""Ring algorithms send exact fractions of a payload."""

from fractions import Fraction

import pytest

from course_env.ring_cost import share_sent

OF_FOUR = {
    "send": (1, 1),
    "broadcast": (1, 1),
    "reduce": (1, 1),
    "all_reduce": (Fraction(3, 2), Fraction(3, 2)),
    "reduce_scatter": (Fraction(3, 4), Fraction(3, 4)),
    "all_gather": (Fraction(3, 4), Fraction(3, 4)),
    "all_to_all": (Fraction(3, 4), Fraction(3, 4)),
    "scatter": (Fraction(3, 4), 0),
    "gather": (0, Fraction(1, 4)),
    "recv": (0, 0),
    "barrier": (0, 0),
    "new_group": (0, 0),
}


@pytest.mark.parametrize(("op", "shares"), OF_FOUR.items(), ids=OF_FOUR.keys())
def test_a_rank_sends_its_share_of_the_payload(op, shares):
    """Of four ranks the root and the others send what the table says; what has no payload sends nothing."""
    at_root, elsewhere = shares
    assert share_sent(op, 4, is_root=True) == at_root
    assert share_sent(op, 4, is_root=False) == elsewhere


@pytest.mark.parametrize("op", OF_FOUR)
def test_a_rank_alone_sends_nothing(op):
    """In a group of one rank every operation stays where it is."""
    assert share_sent(op, 1, is_root=True) == 0


def test_a_scatter_and_a_gather_send_every_part_but_the_roots():
    """Summed over the ranks, both send (N - 1) / N of the payload."""
    for size in (2, 3, 8):
        ranks = range(size)
        assert sum(share_sent("scatter", size, is_root=rank == 0) for rank in ranks) == Fraction(size - 1, size)
        assert sum(share_sent("gather", size, is_root=rank == 0) for rank in ranks) == Fraction(size - 1, size)
