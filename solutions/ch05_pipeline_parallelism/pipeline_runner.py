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

### BEGIN SOLUTION


@dataclass
class _Pass:
    """What a forward pass leaves behind for its backward pass."""

    x: Tensor
    output: Tensor
    """On the last stage the loss, divided by the number of micro-batches."""

    gradient: Tensor | None = None
    """That of the output, between B and W."""


@dataclass
class _Step:
    """What one run of a schedule holds."""

    num_micro_batches: int
    is_split: bool
    inputs: Sequence[Tensor]
    targets: Sequence[Tensor]
    passes: dict[tuple[int, int], _Pass] = field(default_factory=dict)
    at_hand: dict[tuple[str, int, int], Tensor] = field(default_factory=dict)
    """What a stage has for another one of the same rank, by the action and the stage that it is for."""

    sends: list[tuple[dist.Work, Tensor]] = field(default_factory=list)
    losses: dict[int, Tensor] = field(default_factory=dict)


### END SOLUTION


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
        ### BEGIN SOLUTION
        self.chunks = list(chunks)
        self.loss_fn = loss_fn
        self.act_shape, self.dtype, self.group = tuple(act_shape), dtype, group
        self.num_devices, self.device = dist.get_world_size(group), dist.get_rank(group)
        self.last_stage = self.num_devices * len(self.chunks) - 1
        ### END SOLUTION

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
        ### BEGIN SOLUTION
        every = [action for actions in schedule for action in actions]
        num_chunks = 1 + max((chunk for _, _, chunk in every), default=-1)
        if len(schedule) != self.num_devices or num_chunks != len(self.chunks):
            raise ValueError(
                f"The schedule is for {len(schedule)} devices with {num_chunks} chunks; the pipeline has "
                f"{self.num_devices} ranks with {len(self.chunks)}."
            )
        step = _Step(
            num_micro_batches=1 + max(i for _, i, _ in every),
            is_split=any(kind == "W" for kind, _, _ in every),
            inputs=inputs or (),
            targets=targets or (),
        )
        act = {"F": self._forward, "B": self._backward, "W": self._backward_weight}
        for kind, micro_batch, chunk in schedule[self.device]:
            act[kind](step, micro_batch, chunk)
        for work, _ in step.sends:
            work.wait()
        return [step.losses[i] for i in sorted(step.losses)]
        ### END SOLUTION

    ### BEGIN SOLUTION
    def _forward(self, step: _Step, micro_batch: int, chunk: int) -> None:
        stage = chunk * self.num_devices + self.device
        if stage == 0:
            x = step.inputs[micro_batch]
        else:
            x = self._take(step, "F", micro_batch, stage, stage - 1).requires_grad_()
        output = self.chunks[chunk](x)
        if stage == self.last_stage:
            loss = self.loss_fn(output, step.targets[micro_batch])
            step.losses[micro_batch] = loss.detach()
            output = loss / step.num_micro_batches
        else:
            self._give(step, "F", micro_batch, stage + 1, output.detach())
        step.passes[micro_batch, chunk] = _Pass(x, output)

    def _backward(self, step: _Step, micro_batch: int, chunk: int) -> None:
        stage = chunk * self.num_devices + self.device
        held = step.passes[micro_batch, chunk]
        if stage < self.last_stage:
            held.gradient = self._take(step, "B", micro_batch, stage, stage + 1)
        if step.is_split:
            if stage > 0:
                (gradient,) = torch.autograd.grad(held.output, held.x, held.gradient, retain_graph=True)
                self._give(step, "B", micro_batch, stage - 1, gradient)
            return
        del step.passes[micro_batch, chunk]
        if held.output.requires_grad:
            torch.autograd.backward(held.output, held.gradient)
        if stage > 0:
            self._give(step, "B", micro_batch, stage - 1, held.x.grad)

    def _backward_weight(self, step: _Step, micro_batch: int, chunk: int) -> None:
        held = step.passes.pop((micro_batch, chunk))
        trainable = [parameter for parameter in self.chunks[chunk].parameters() if parameter.requires_grad]
        if trainable:
            torch.autograd.backward(held.output, held.gradient, inputs=trainable)

    def _give(self, step: _Step, kind: str, micro_batch: int, stage: int, tensor: Tensor) -> None:
        # Hands a tensor to another stage, for its action of this kind.
        device = stage % self.num_devices
        if device == self.device:
            step.at_hand[kind, micro_batch, stage] = tensor
            return
        tensor = tensor.contiguous()
        tag = self._tag(step, kind, micro_batch, stage)
        step.sends.append((dist.isend(tensor, group=self.group, group_dst=device, tag=tag), tensor))

    def _take(self, step: _Step, kind: str, micro_batch: int, stage: int, source: int) -> Tensor:
        # Returns what stage `source` has handed to `stage` for its action of this kind.
        device = source % self.num_devices
        if device == self.device:
            return step.at_hand.pop((kind, micro_batch, stage))
        tensor = torch.empty(self.act_shape, dtype=self.dtype)
        dist.recv(tensor, group=self.group, group_src=device, tag=self._tag(step, kind, micro_batch, stage))
        return tensor

    def _tag(self, step: _Step, kind: str, micro_batch: int, stage: int) -> int:
        # A number that no other message of the step has: without it, messages of one pair of ranks could be mixed up.
        return 2 * (stage * step.num_micro_batches + micro_batch) + (kind == "B")

    ### END SOLUTION
