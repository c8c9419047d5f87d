"""Interleaved 1F1B: several chunks of the model on each device, so that the pipeline fills in smaller steps."""

from course_env.pipeline import Action, PipelineSchedule


def interleaved_1f1b_schedule(p: int, v: int, m: int) -> PipelineSchedule:
    """Return the interleaved 1F1B schedule of m micro-batches on p devices with v chunks of the model each.

    The model has p * v stages, and chunk c of device d is stage c * p + d: the layers of a device are not contiguous, and a
    micro-batch goes round the devices v times. The result has the form of exercise 5.1: `("F", i, c)` and `("B", i, c)` are
    the passes of micro-batch i through chunk c of the device.

    Micro-batches go in rounds of p. A device runs forward the p micro-batches of a round, in order, through its chunk 0, then
    the same p through chunk 1, and so on through all chunks; then comes the next round. Backward it goes through rounds
    and micro-batches in the same order, but through the chunks from the last to the first.

    Device d begins with 2 (p - d - 1) + (v - 1) p forward passes, or with all m v if they are fewer. Then it runs one forward
    and one backward pass in turn while forward passes remain, and then the backward passes that are left.

    Raises: ValueError for p, v or m < 1, and if p does not divide m.
    Source: Narayanan et al. 2021, Efficient Large-Scale Language Model Training on GPU Clusters Using Megatron-LM, arXiv:2104.04473, section 2.2.2 and figure 4
    """
    # TODO(interleaved): write this part, and delete the line below.
    raise NotImplementedError("TODO(interleaved)")
