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
    # TODO(simulate): write this part, and delete the line below.
    raise NotImplementedError("TODO(simulate)")
