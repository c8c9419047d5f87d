"""Hidden tests of exercise `timeline`."""

from fractions import Fraction

import torch

from assignments.ch03_overview_of_parallelism.references_timeline import assert_runs
from grader.harness import assert_returns, exercise


def drawn(count, most):
    """Return numbers from 1 to `most`."""
    return (torch.randint(most, (count,)) + 1).tolist()


@exercise("timeline", aspect="equivalence")
def test_other_pipelines(student):
    """Pipelines of other sizes and speeds run without a gap that could be closed."""
    for _ in range(6):
        sizes = [*drawn(2, 7), *drawn(2, 4)]
        assert_runs(student.timeline(*sizes), *sizes)


@exercise("timeline", aspect="equivalence")
def test_other_shares(student):
    """Shares are exact fractions of the whole time."""
    for _ in range(6):
        p, m = drawn(2, 50)
        assert_returns(student.utilisation, (p, m, "naive"), Fraction(1, p))
        mistakes = (
            {"that is the bubble, and what is left of it is due": Fraction(p - 1, m + p - 1)} if m != p - 1 else {}
        )
        assert_returns(student.utilisation, (p, m, "pipelined"), Fraction(m, m + p - 1), mistakes=mistakes)


@exercise("timeline", aspect="property")
def test_more_micro_batches_are_better(student):
    """The idle share falls with the number of micro-batches, and never to zero."""
    p = 2 + drawn(1, 9)[0]
    alone = assert_returns(student.utilisation, (p, 1, "pipelined"), Fraction(1, p))
    shares = [alone, *(student.utilisation(p, m, "pipelined") for m in (2, 8, 1000))]
    assert shares == sorted(shares), f"with 1, 2, 8 and 1000 micro-batches {p} stages work {shares} of the time"
    assert shares[-1] < 1, (
        f"with 1000 micro-batches {p} stages work {shares[-1]} of the time, and the bubble never is 0"
    )


@exercise("timeline", aspect="robustness")
def test_the_smallest_pipelines(student):
    """A pipeline of one stage, and one with a single micro-batch, are right."""
    assert_runs(student.timeline(1, 3, 2, 1), 1, 3, 2, 1)
    assert_runs(student.timeline(3, 1, 1, 1), 3, 1, 1, 1)
