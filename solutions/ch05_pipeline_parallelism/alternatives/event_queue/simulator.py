"""A simulation by events: the action that can begin first runs first."""

import heapq
from collections import Counter
from fractions import Fraction

from course_env.communication import Deadlock
from course_env.pipeline import Simulated


def simulate(schedule, t_f, t_b, t_w=0, t_comm=0):  # noqa: C901
    """Return what the schedule takes."""
    lasts = {"F": t_f, "B": t_b, "W": t_w}
    if min(t_f, t_b) < 1 or min(t_w, t_comm) < 0:
        raise ValueError("No such times.")
    kinds = {kind for actions in schedule for kind, _, _ in actions}
    if kinds not in ({"F", "B"}, {"F", "B", "W"}):
        raise ValueError(f"These are no kinds of actions: {kinds}")
    p = len(schedule)
    m = len({i for actions in schedule for _, i, _ in actions})
    v = len({c for actions in schedule for _, _, c in actions})
    for actions in schedule:
        if Counter(actions) != Counter((kind, i, c) for kind in kinds for i in range(m) for c in range(v)):
            raise ValueError("The schedule is not complete.")
    ends = {}
    waiting = {}  # what has to end -> devices that wait for it
    at, free = [0] * p, [0] * p
    times = [[] for _ in schedule]
    queue = []

    def offer(d):
        if at[d] == len(schedule[d]):
            return
        kind, i, chunk = schedule[d][at[d]]
        stage = chunk * p + d
        needs = {"F": [("F", i, stage - 1)], "B": [("F", i, stage), ("B", i, stage + 1)], "W": [("B", i, stage)]}[kind]
        needs = [need for need in needs if 0 <= need[2] < p * v]
        for need in needs:
            if need not in ends:
                waiting.setdefault(need, []).append(d)
                return
        arrivals = [ends[need] + t_comm * ((need[2] - stage) % p > 0) for need in needs]
        heapq.heappush(queue, (max([free[d], *arrivals]), d))

    for d in range(p):
        offer(d)
    while queue:
        begin, d = heapq.heappop(queue)
        kind, i, chunk = schedule[d][at[d]]
        free[d] = begin + lasts[kind]
        times[d].append((begin, free[d]))
        at[d] += 1
        done = (kind, i, chunk * p + d)
        ends[done] = free[d]
        for other in {d, *waiting.pop(done, [])}:
            offer(other)
    blocked = {d: at[d] for d in range(p) if at[d] < len(schedule[d])}
    if blocked:
        return Deadlock(blocked=blocked)
    busy = m * v * sum(lasts[kind] for kind in kinds)
    makespan = max(free)
    last = "W" if "W" in kinds else "B"
    peak = []
    for actions in schedule:
        begins = [k for k, action in enumerate(actions) if action[0] == "F"]
        lets_go = [k for k, action in enumerate(actions) if action[0] == last]
        peak.append(max(n + 1 - sum(k < begin for k in lets_go) for n, begin in enumerate(begins)))
    return Simulated(
        makespan=makespan,
        bubble=Fraction(makespan, busy) - 1,
        peak=tuple(peak),
        times=tuple(tuple(spans) for spans in times),
    )
