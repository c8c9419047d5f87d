"""A pipeline that runs: stages on several ranks, micro-batches between them, in the order of any schedule.

runner = PipelineRunner([stage], loss_fn, act_shape=(2, 8), dtype=torch.float64)
losses = runner.run(one_f_one_b_schedule(4, 8), inputs, targets)    # inputs on rank 0, targets on rank 3
optimizer.step()
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from course_env.pipeline import PipelineSchedule


class PipelineRunner:
    """One rank of a pipeline: it holds some stages of a model, and runs schedules together with the other ranks.

    Device d of the p devices of a schedule is the rank with number d in `group`, which has p ranks. Its `chunks`, as many as
    on every other rank, are parts of the model: chunk c is stage c * p + d. A stage takes the output of the stage
    before. All that passes between stages has the shape `act_shape`, that of one micro-batch, and the dtype `dtype`.
    `loss_fn(output, target)` is the mean over one micro-batch.

    Source: Narayanan et al. 2021, Efficient Large-Scale Language Model Training on GPU Clusters Using Megatron-LM, arXiv:2104.04473, section 2.2
    """

    def __init__(
        self,
        chunks: Sequence[nn.Module],
        loss_fn: Callable[[Tensor, Tensor], Tensor],
        act_shape: Sequence[int],
        dtype: torch.dtype,
        group: ProcessGroup | None = None,
    ) -> None:
        # TODO(pipeline_runner): write this part, and delete the line below.
        raise NotImplementedError("TODO(pipeline_runner)")

    def run(
        self,
        schedule: PipelineSchedule,
        inputs: Sequence[Tensor] | None = None,
        targets: Sequence[Tensor] | None = None,
    ) -> list[Tensor]:
        """Run this rank's part of a schedule; every rank of the group calls this with the same schedule.

        The rank does exactly its actions, in their order. F calls the chunk's module once. B computes the gradients of the
        chunk's input and of its parameters. If the schedule has W, B computes the gradient of the input only, so that the
        stage before can go on, and W those of the parameters; B of the first stage then computes nothing.

        The gradients are those of the mean of the m micro-batches' losses, and are added to `.grad`, as backward() does it.
        A run begins and ends with nothing under way, so a runner can run any schedules one after the other.

        inputs: on the rank of the first stage, the input of each micro-batch, which can have any shape and dtype
        targets: on the rank of the last stage, the target of each micro-batch

        Between the F and the B of a micro-batch, or its W, a rank keeps what autograd needs for it, and afterwards nothing of
        that: it never has more passes in memory than the schedule says. Messages that it sent, which hold no graph, may be
        kept until the end of the run. Inputs and targets stay as they were. A chunk may have no trainable parameters.

        Any schedule that simulate of exercise 5.2 does not find stuck runs to its end, even if every send waits until its
        receive is posted, as gloo's do, and in whatever order two ranks send to each other.

        Returns: on the rank of the last stage the m losses in the order of the micro-batches, each as loss_fn computed it and
            without its graph; on the others an empty list.
        Communicates: for each micro-batch, from each stage to the next on another rank one message forward, and one of the
            same size backward, both point to point; between stages on the same rank, and otherwise, nothing.
        Raises: ValueError, on every rank and before anything is sent, if the schedule does not have p devices, or not as many
            chunks as this rank holds.
        """
        # TODO(pipeline_runner): write this part, and delete the line below.
        raise NotImplementedError("TODO(pipeline_runner)")
