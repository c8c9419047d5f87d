"""Hidden tests of exercise `simulate`."""

import random
from fractions import Fraction

import pytest

from assignments.ch05_pipeline_parallelism.references import in_flight, random_schedule
from assignments.ch05_pipeline_parallelism.references_simulator import assert_simulates
from course_env.communication import Deadlock
from course_env.pipeline import Simulated
from grader.harness import exercise
from solutions.ch05_pipeline_parallelism.interleaved import interleaved_1f1b_schedule
from solutions.ch05_pipeline_parallelism.schedules import gpipe_schedule, one_f_one_b_schedule

LASTS = {"F": "t_f", "B": "t_b", "W": "t_w"}


def longest_paths(schedule, t_f, t_b, t_w=0, t_comm=0):
    """Return what simulate should, by the longest path to every action."""
    p, num_chunks = len(schedule), 1 + max(chunk for actions in schedule for _, _, chunk in actions)
    lasts = {"F": t_f, "B": t_b, "W": t_w}
    place = {(*action[:2], action[2] * p + d): (d, k) for d, a in enumerate(schedule) for k, action in enumerate(a)}
    into = {}
    for (kind, i, stage), (d, k) in place.items():
        needs = {"F": [("F", i, stage - 1)], "B": [("F", i, stage), ("B", i, stage + 1)], "W": [("B", i, stage)]}[kind]
        edges = [(place[n], t_comm * (n[2] % p != d)) for n in needs if 0 <= n[2] < p * num_chunks]
        into[d, k] = edges + ([((d, k - 1), 0)] if k else [])
    begins = {}
    for _ in range(len(into)):
        ready = [at for at in into if at not in begins and all(before in begins for before, _ in into[at])]
        if not ready:
            break
        for at in ready:
            ends = [begins[d, k] + lasts[schedule[d][k][0]] + delay for (d, k), delay in into[at]]
            begins[at] = max([0, *ends])
    stuck = {
        d: next(k for k in range(len(a)) if (d, k) not in begins)
        for d, a in enumerate(schedule)
        if (d, len(a) - 1) not in begins
    }
    if stuck:
        return Deadlock(blocked=stuck)
    times = tuple(
        tuple((begins[d, k], begins[d, k] + lasts[action[0]]) for k, action in enumerate(actions))
        for d, actions in enumerate(schedule)
    )
    makespan = max(spans[-1][1] for spans in times)
    busy = sum(end - begin for begin, end in times[0])
    last = "W" if any(kind == "W" for kind, _, _ in schedule[0]) else "B"
    peak = tuple(in_flight(actions, last) for actions in schedule)
    return Simulated(makespan=makespan, bubble=Fraction(makespan - busy, busy), peak=peak, times=times)


def times_of(rng, kinds):
    """Return random durations as arguments."""
    lasts = {LASTS[kind]: rng.randint(1, 5) for kind in kinds}
    return {**lasts, "t_comm": rng.choice([0, 1, 7])}


@exercise("simulate", aspect="equivalence")
@pytest.mark.parametrize("kinds", ["FB", "FBW"])
def test_random_schedules(launch, kinds):
    """Random legal schedules take the time, the idle time and the memory that the longest paths through them say."""
    rng = random.Random(f"simulate {kinds}")  # noqa: S311
    sizes = [(rng.randint(1, 4), rng.randint(1, 3), rng.randint(1, 4)) for _ in range(12)]
    calls = [{"schedule": random_schedule(*size, kinds, rng), **times_of(rng, kinds)} for size in sizes]
    assert_simulates(launch, calls, [longest_paths(**call) for call in calls])


@exercise("simulate", aspect="property")
def test_random_orders(launch):
    """Schedules in a random order are reported with the action at which every device is stuck, a legal one among them is not."""
    rng = random.Random("orders")  # noqa: S311
    calls = []
    for p, v, m in ((2, 1, 1), (2, 1, 2), (3, 1, 2), (2, 2, 1), (1, 2, 2), (3, 2, 2), (2, 1, 2), (1, 1, 2)):
        actions = [(kind, i, c) for kind in "FB" for i in range(m) for c in range(v)]
        calls.append(
            {"schedule": tuple(tuple(rng.sample(actions, len(actions))) for _ in range(p)), "t_f": 1, "t_b": 2}
        )
    calls.append({"schedule": random_schedule(3, 2, 2, "FB", rng), "t_f": 1, "t_b": 2})
    due = [longest_paths(**call) for call in calls]
    assert {type(answer) for answer in due} == {Simulated, Deadlock}
    assert_simulates(launch, calls, due)


@exercise("simulate", aspect="equivalence")
def test_closed_forms(launch):
    """GPipe, 1F1B and interleaved 1F1B take the times of their formulas."""
    sizes, times = [(2, 1), (3, 7), (8, 16)], {"t_f": 2, "t_b": 3}
    calls = [{"schedule": build(p, m), **times} for p, m in sizes for build in (gpipe_schedule, one_f_one_b_schedule)]
    calls.append({"schedule": interleaved_1f1b_schedule(4, 2, 8), **times})
    due = [longest_paths(**call) for call in calls]
    assert [one.makespan for one in due] == [5 * (m + p - 1) for p, m in sizes for _ in range(2)] + [5 * (16 + 3)]
    assert_simulates(launch, calls, due)
