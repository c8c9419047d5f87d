"""Pipeline schedules: for each device, the order of its forward and backward passes.

>>> one_f_one_b_schedule(2, 2)
((('F', 0, 0), ('F', 1, 0), ('B', 0, 0), ('B', 1, 0)), (('F', 0, 0), ('B', 0, 0), ('F', 1, 0), ('B', 1, 0)))

The lesson writes the first of these two devices as F0 F1 B0 B1.
"""

from course_env.pipeline import Action, PipelineSchedule


def gpipe_schedule(p: int, m: int) -> PipelineSchedule:
    """Return GPipe's schedule of m micro-batches on p devices, each with one stage: all forward passes, then all backward.

    A schedule is a tuple with a tuple for each device, first stage to last, of what it does in order: `("F", i, 0)` is the
    forward pass of micro-batch i, `("B", i, 0)` its backward pass. The third entry is the chunk of the model, here always 0.

    Every device has all its forward passes before its first backward pass. Forward passes go in the order of the
    micro-batches, 0 to m - 1. Backward passes go either in that order or in the opposite one, the same on all devices.

    Raises: ValueError for p < 1 or m < 1.
    Source: Huang et al. 2019, GPipe: Efficient Training of Giant Neural Networks using Pipeline Parallelism, arXiv:1811.06965, section 2.3 and figure 2
    """
    # TODO(schedules): write this part, and delete the line below.
    raise NotImplementedError("TODO(schedules)")


def one_f_one_b_schedule(p: int, m: int) -> PipelineSchedule:
    """Return the 1F1B schedule with a flush (PipeDream-Flush) of m micro-batches on p devices, each with one stage.

    Micro-batches go in the order 0 to m - 1, forward and backward, on every device. Device d never holds more than p - d
    micro-batches in flight, which are those whose forward pass has begun and whose backward pass has not ended. It first
    runs forward passes up to that number, or all m if they are fewer. From then on it runs one backward pass and one
    forward pass in turn while forward passes remain, and then the backward passes that are left.

    The form of the result is that of gpipe_schedule.

    Raises: ValueError for p < 1 or m < 1.
    """
    # TODO(schedules): write this part, and delete the line below.
    raise NotImplementedError("TODO(schedules)")
