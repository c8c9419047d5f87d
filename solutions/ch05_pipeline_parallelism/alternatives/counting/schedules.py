"""Both schedules, one action at a time, by counting what has begun and ended."""


def gpipe_schedule(p, m):
    """Return the schedule of GPipe."""
    _check(p, m)
    forward = tuple(("F", i, 0) for i in range(m))
    return tuple((*forward, *(("B", i, 0) for i in reversed(range(m)))) for _ in range(p))


def one_f_one_b_schedule(p, m):
    """Return the schedule of 1F1B."""
    _check(p, m)
    return tuple(tuple(_actions(p - d, m)) for d in range(p))


def _actions(most, m):
    begun = ended = 0
    while ended < m:
        if begun < m and begun - ended < most:
            yield ("F", begun, 0)
            begun += 1
        else:
            yield ("B", ended, 0)
            ended += 1


def _check(p, m):
    if min(p, m) < 1:
        raise ValueError("Nothing to schedule.")
