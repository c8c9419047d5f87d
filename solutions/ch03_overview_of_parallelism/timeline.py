"""What the stages of a pipeline do when, and how much of the time they do nothing."""

from fractions import Fraction
from typing import Literal

from course_env.layout import Slot


def utilisation(p: int, m: int, kind: Literal["naive", "pipelined"]) -> Fraction:
    """Return the share of the time that a stage of a pipeline is busy, if all stages take equally long.

    p: stages; m: micro-batches
    naive: one micro-batch at a time, forward through all stages and backward through all, before the next begins
    pipelined: all forward passes, one after the other, then all backward passes: see `timeline`

    Raises: ValueError for p < 1, m < 1 or another kind.
    Source: Huang et al. 2019, GPipe: Efficient Training of Giant Neural Networks using Pipeline Parallelism, arXiv:1811.06965, section 2.3
    """
    ### BEGIN SOLUTION
    _check(p, m)
    if kind == "naive":
        return Fraction(1, p)
    if kind == "pipelined":
        return Fraction(m, m + p - 1)
    raise ValueError(f"kind must be 'naive' or 'pipelined', not {kind!r}.")
    ### END SOLUTION


def timeline(p: int, m: int, t_f: int, t_b: int) -> list[list[Slot]]:
    """Return for each of p stages, first to last, what it does in a step with m micro-batches, in order of time.

    t_f, t_b: how long a forward and a backward pass of one micro-batch takes on one stage, whole numbers

    Time begins at 0. Every pass begins as soon as its stage is free and what it needs is there: a forward pass the same
    micro-batch's on the stage before, a backward pass the same micro-batch's on the stage behind, on the last stage its own
    forward pass. Each stage has all its forward passes before its first backward pass. Forward passes go in order of
    micro-batches; backward passes either in that order or in the opposite one, the same on all stages.

    Raises: ValueError for p, m, t_f or t_b < 1.
    """
    ### BEGIN SOLUTION
    _check(p, m)
    if t_f < 1 or t_b < 1:
        raise ValueError(f"t_f and t_b must be at least 1, not {t_f} and {t_b}.")
    turn = (m + p - 1) * t_f
    return [
        [
            *(Slot(kind="F", micro_batch=i, start=(stage + i) * t_f, end=(stage + i + 1) * t_f) for i in range(m)),
            *(
                Slot(kind="B", micro_batch=i, start=turn + (p - 1 - stage + i) * t_b, end=turn + (p - stage + i) * t_b)
                for i in range(m)
            ),
        ]
        for stage in range(p)
    ]
    ### END SOLUTION


### BEGIN SOLUTION
def _check(p: int, m: int) -> None:
    if p < 1 or m < 1:
        raise ValueError(f"p and m must be at least 1, not {p} and {m}.")


### END SOLUTION
