"""A simulation by relaxation: all begins are pushed later until nothing moves; a schedule that never settles is stuck."""

from fractions import Fraction
from itertools import product

from course_env.communication import Deadlock
from course_env.pipeline import Simulated


def simulate(schedule, t_f, t_b, t_w=0, t_comm=0):  # noqa: C901
    """Return what the schedule takes."""
    if t_f < 1 or t_b < 1 or t_w < 0 or t_comm < 0 or not schedule or not any(schedule):
        raise ValueError("Nothing that could be simulated.")
    p = len(schedule)
    every = {action for actions in schedule for action in actions}
    m, v = (1 + max(action[k] for action in every) for k in (1, 2))
    kinds = "FBW" if any(action[0] == "W" for action in every) else "FB"
    due = sorted(product(kinds, range(m), range(v)))
    if any(sorted(actions) != due for actions in schedule):
        raise ValueError("An action is missing, or there twice, or unknown.")
    place = {
        (kind, i, c * p + d): (d, k) for d, actions in enumerate(schedule) for k, (kind, i, c) in enumerate(actions)
    }
    before = {}
    for (kind, i, stage), (d, k) in place.items():
        needs = [("F", i, stage - 1)] if kind == "F" else [("F", i, stage), ("B", i, stage + 1)]
        if kind == "W":
            needs = [("B", i, stage)]
        found = [(place[need], t_comm if place[need][0] != d else 0) for need in needs if need in place]
        before[d, k] = [*found, ((d, k - 1), 0)] if k else found
    reachable = set()
    while True:
        more = {at for at in before if at not in reachable and all(one in reachable for one, _ in before[at])}
        if not more:
            break
        reachable |= more
    stuck = {
        d: min(k for k in range(len(a)) if (d, k) not in reachable)
        for d, a in enumerate(schedule)
        if (d, len(a) - 1) not in reachable
    }
    if stuck:
        return Deadlock(blocked=stuck)
    lasts = {"F": t_f, "B": t_b, "W": t_w}
    begin = dict.fromkeys(before, 0)
    moved = True
    while moved:
        moved = False
        for at, needs in before.items():
            latest = max([begin[d, k] + lasts[schedule[d][k][0]] + delay for (d, k), delay in needs], default=0)
            if latest > begin[at]:
                begin[at], moved = latest, True
    times = tuple(
        tuple((begin[d, k], begin[d, k] + lasts[action[0]]) for k, action in enumerate(actions))
        for d, actions in enumerate(schedule)
    )
    makespan = max(end for spans in times for _, end in spans)
    busy = sum(end - start for start, end in times[0])
    peaks = []
    for actions in schedule:
        held, most = set(), 0
        for kind, i, c in actions:
            (held.add if kind == "F" else held.discard if kind == kinds[-1] else len)((i, c))
            most = max(most, len(held))
        peaks.append(most)
    return Simulated(makespan=makespan, bubble=Fraction(makespan - busy, busy), peak=tuple(peaks), times=times)
