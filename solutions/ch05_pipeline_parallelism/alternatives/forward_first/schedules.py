"""1F1B as it is drawn in Megatron-LM: warm-up of p - d - 1, then pairs of one forward and one backward pass."""

from itertools import chain


def gpipe_schedule(p, m):
    """Return the schedule of GPipe."""
    if p < 1 or m < 1:
        raise ValueError(f"p = {p}, m = {m}")
    return tuple([tuple((kind, i, 0) for kind in "FB" for i in range(m))] * p)


def one_f_one_b_schedule(p, m):
    """Return the schedule of 1F1B."""
    if p < 1 or m < 1:
        raise ValueError(f"p = {p}, m = {m}")
    schedule = []
    for device in range(p):
        warm_up = min(m, p - device - 1)
        forward = [("F", i, 0) for i in range(m)]
        backward = [("B", i, 0) for i in range(m)]
        steady = chain.from_iterable(zip(forward[warm_up:], backward, strict=False))
        schedule.append((*forward[:warm_up], *steady, *backward[m - warm_up :]))
    return tuple(schedule)
