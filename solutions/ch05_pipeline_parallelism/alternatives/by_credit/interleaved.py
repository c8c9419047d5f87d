"""Interleaved 1F1B by credit: a device goes backward whenever it is as far ahead as it may be."""

from itertools import chain, product


def interleaved_1f1b_schedule(p, v, m):
    """Return the interleaved schedule."""
    if p < 1 or v < 1 or m < 1 or m % p != 0:
        raise ValueError("p must divide m, and all three must be positive.")
    rounds = [range(first, first + p) for first in range(0, m, p)]
    up = list(chain.from_iterable(((i, c) for c, i in product(range(v), one)) for one in rounds))
    down = [(i, v - 1 - c) for i, c in up]
    schedule = []
    for device in range(p):
        ahead = 2 * (p - device - 1) + (v - 1) * p + 1
        forward, backward, actions = iter(up), iter(down), []
        begun = ended = 0
        while ended < m * v:
            if begun < m * v and begun - ended < ahead:
                actions.append(("F", *next(forward)))
                begun += 1
            else:
                actions.append(("B", *next(backward)))
                ended += 1
        schedule.append(tuple(actions))
    return tuple(schedule)
