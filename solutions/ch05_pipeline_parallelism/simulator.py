"""A simulator of pipeline schedules: what a schedule costs, before anything runs it.

>>> simulate(((("F", 0, 0), ("B", 0, 0)), (("F", 0, 0), ("B", 0, 0))), t_f=1, t_b=2)
Simulated(makespan=6, bubble=Fraction(1, 1), peak=(1, 1), times=(((0, 1), (4, 6)), ((1, 2), (2, 4))))

The schedule is that of one micro-batch on two devices, F0 B0 on each.
"""

from collections import Counter
from fractions import Fraction

from course_env.communication import Deadlock
from course_env.pipeline import Action, PipelineSchedule, Simulated


def simulate(schedule: PipelineSchedule, t_f: int, t_b: int, t_w: int = 0, t_comm: int = 0) -> Simulated | Deadlock:
    """Return when each action of a schedule runs and what that costs, or where the schedule is stuck.

    There are p = len(schedule) devices, m micro-batches and v chunks on each device: the largest numbers in the schedule,
    plus one. Chunk c of device d is stage c * p + d of the model's p * v stages.

    t_f, t_b, t_w: how long one action F, B or W takes on one chunk, whole numbers
    t_comm: how long a micro-batch's activations or gradients are on their way from one device to another

    Time begins at 0. A device runs its actions in the order of the schedule, one at a time, and each as soon as the one
    before it has ended and what it needs is there: F of a micro-batch needs F of the same micro-batch on the stage before, B
    needs its own stage's F and B of the stage behind, W needs its own stage's B. What comes from another device is
    there t_comm after it ended; sending and receiving take no time of a device, and what stays on a device is there at once.

    In the result, `times[d][k]` is when action k of device d begins and ends. A forward pass counts in `peak[d]` from its F on,
    and until the end of its B, or of its W if the schedule has W. If devices can never go on, the result is a
    `Deadlock` with the index of the action that each of them waits at.

    Raises: ValueError if a device does not have F and B of each micro-batch and chunk exactly once, if W is not there
        exactly once for all of them or for none, for an action that is none of these, for t_f < 1 or t_b < 1, and for
        t_w < 0 or t_comm < 0.
    Source: Narayanan et al. 2021, Efficient Large-Scale Language Model Training on GPU Clusters Using Megatron-LM, arXiv:2104.04473, section 2.2
    """
    ### BEGIN SOLUTION
    if t_f < 1 or t_b < 1 or t_w < 0 or t_comm < 0:
        raise ValueError(f"Times must be t_f, t_b >= 1 and t_w, t_comm >= 0, not {t_f}, {t_b}, {t_w}, {t_comm}.")
    has_w, num_stages = _check(schedule)
    lasts = {"F": t_f, "B": t_b, "W": t_w}
    num_devices = len(schedule)
    times: list[list[tuple[int, int]]] = [[] for _ in schedule]
    ends: dict[tuple[str, int, int], int] = {}  # of (kind, micro-batch, stage)
    moved = True
    while moved:
        moved = False
        for device, actions in enumerate(schedule):
            while len(times[device]) < len(actions):
                kind, micro_batch, chunk = actions[len(times[device])]
                stage = chunk * num_devices + device
                needs = _needs(kind, micro_batch, stage, num_stages)
                if not all(need in ends for need in needs):
                    break
                arrivals = [ends[need] + (t_comm if need[2] % num_devices != device else 0) for need in needs]
                begin = max([times[device][-1][1] if times[device] else 0, *arrivals])
                ends[kind, micro_batch, stage] = begin + lasts[kind]
                times[device].append((begin, begin + lasts[kind]))
                moved = True
    at = {device: len(done) for device, done in enumerate(times) if len(done) < len(schedule[device])}
    if at:
        return Deadlock(blocked=at)
    makespan = max(done[-1][1] for done in times)
    busy = sum(lasts[kind] for kind, _, _ in schedule[0])
    return Simulated(
        makespan=makespan,
        bubble=Fraction(makespan - busy, busy),
        peak=tuple(_peak(actions, "W" if has_w else "B") for actions in schedule),
        times=tuple(map(tuple, times)),
    )
    ### END SOLUTION


### BEGIN SOLUTION
def _check(schedule: PipelineSchedule) -> tuple[bool, int]:
    """Return whether backward is split, and the number of stages; raise if the schedule is not complete."""
    every = [action for actions in schedule for action in actions]
    if not every:
        raise ValueError("The schedule is empty.")
    has_w = any(kind == "W" for kind, _, _ in every)
    num_micro_batches = 1 + max(micro_batch for _, micro_batch, _ in every)
    num_chunks = 1 + max(chunk for _, _, chunk in every)
    numbers = [(i, c) for i in range(num_micro_batches) for c in range(num_chunks)]
    due = Counter((kind, i, c) for kind in ("FBW" if has_w else "FB") for i, c in numbers)
    for device, actions in enumerate(schedule):
        if Counter(actions) != due:
            wrong = (Counter(actions) - due) + (due - Counter(actions))
            raise ValueError(f"Device {device} must have each action exactly once, which is not so of {sorted(wrong)}.")
    return has_w, num_chunks * len(schedule)


def _needs(kind: str, micro_batch: int, stage: int, num_stages: int) -> list[tuple[str, int, int]]:
    """Return what must have ended before an action, each as (kind, micro-batch, stage)."""
    if kind == "F":
        return [("F", micro_batch, stage - 1)] if stage > 0 else []
    if kind == "W":
        return [("B", micro_batch, stage)]
    behind = [("B", micro_batch, stage + 1)] if stage < num_stages - 1 else []
    return [("F", micro_batch, stage), *behind]


def _peak(actions: tuple[Action, ...], last: str) -> int:
    """Return the most forward passes that are held at once, each until its action `last` has ended."""
    held = most = 0
    for kind, _, _ in actions:
        held += (kind == "F") - (kind == last)
        most = max(most, held)
    return most


### END SOLUTION
