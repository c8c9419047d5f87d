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
    # TODO(timeline): write this part, and delete the line below.
    raise NotImplementedError("TODO(timeline)")


def timeline(p: int, m: int, t_f: int, t_b: int) -> list[list[Slot]]:
    """Return for each of p stages, first to last, what it does in a step with m micro-batches, in order of time.

    t_f, t_b: how long a forward and a backward pass of one micro-batch takes on one stage, whole numbers

    Time begins at 0. Every pass begins as soon as its stage is free and what it needs is there: a forward pass the same
    micro-batch's on the stage before, a backward pass the same micro-batch's on the stage behind, on the last stage its own
    forward pass. Each stage has all its forward passes before its first backward pass. Forward passes go in order of
    micro-batches; backward passes either in that order or in the opposite one, the same on all stages.

    Raises: ValueError for p, m, t_f or t_b < 1.
    """
    # TODO(timeline): write this part, and delete the line below.
    raise NotImplementedError("TODO(timeline)")
