"""A simulation, backward in the opposite order; shares from its end."""

from fractions import Fraction
from typing import Literal

from course_env.layout import Slot


def utilisation(p: int, m: int, kind: Literal["naive", "pipelined"]) -> Fraction:
    """Return the share of the time that a stage of a pipeline is busy, if all stages take equally long."""
    if min(p, m) < 1 or kind not in ("naive", "pipelined"):
        raise ValueError(f"{p}, {m}, {kind}")
    if kind == "naive":
        m = 1
    slots = timeline(p, m, 1, 1)
    return Fraction(2 * m, max(slot.end for stage in slots for slot in stage))


def timeline(p: int, m: int, t_f: int, t_b: int) -> list[list[Slot]]:
    """Return for each of p stages, first to last, what it does in a step with m micro-batches, in order of time."""
    if min(p, m, t_f, t_b) < 1:
        raise ValueError("nothing takes no time")
    stages: list[list[Slot]] = [[] for _ in range(p)]
    done = dict.fromkeys(range(m), 0)
    for kind, lasts, order in (("F", t_f, range(p)), ("B", t_b, reversed(range(p)))):
        for stage in order:
            for i in range(m) if kind == "F" else reversed(range(m)):
                free = stages[stage][-1].end if stages[stage] else 0
                start = max(free, done[i])
                done[i] = start + lasts
                stages[stage].append(Slot(kind=kind, micro_batch=i, start=start, end=done[i]))
    return stages
