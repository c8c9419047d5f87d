"""Data parallelism with a process per GPU, in its simplest form: replicas that start equal and average their gradients.

Every rank holds the whole model and reads its own part of the global batch. If all replicas start with the same
parameters and apply the same gradients, they stay the same, and nothing but gradients ever has to be communicated.

    ddp = NaiveDDP(module)
    optimizer = torch.optim.SGD(ddp.parameters(), lr=0.1)
    for x, y in batches_of_this_rank:
        optimizer.zero_grad()
        loss_fn(ddp(x), y).backward()
        ddp.finish_grad_sync()
        optimizer.step()
"""

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed import ProcessGroup


class NaiveDDP(nn.Module):
    """A module that is replicated on every rank of `group` and trained as one.

    Beginning: all replicas hold what group rank 0 holds in every parameter, frozen ones too, and in every buffer of
    `module.buffers()`, those that state_dict() leaves out included. Tensors are written in place: `module` keeps its
    parameter objects, `ddp.module is module`, and `ddp.parameters()` are those of `module`. Later changes of buffers, such as
    BatchNorm's running statistics, stay each rank's own.

    Shapes: parameters and buffers are contiguous, with the same names, shapes and dtypes on all ranks, and of dtypes that
        gloo carries: floating-point numbers, bool, int8, uint8, int32, int64. Gradients are dense. A tied parameter is one
        parameter.
    Communicates: __init__ broadcasts each of these tensors once, nothing else, in as many or few broadcasts as you like.
        forward and backward need not communicate. For finish_grad_sync see there.
    Source: Li et al. 2020, PyTorch Distributed: Experiences on Accelerating Data Parallel Training, arXiv:2006.15704, section 3.2.1
    """

    def __init__(self, module: nn.Module, group: ProcessGroup | None = None) -> None:
        super().__init__()
        self.module = module
        # TODO(naive_ddp): write this part, and delete the line below.
        raise NotImplementedError("TODO(naive_ddp)")

    def forward(self, *args, **kwargs):
        """Return what the module returns."""
        return self.module(*args, **kwargs)

    def finish_grad_sync(self) -> None:
        """Replace every gradient by its average over the ranks of the group; each rank calls this after its backward.

        What is averaged is each trainable parameter's `.grad` as it is now, divided by the number of ranks in the group.
        A rank whose `.grad` is None takes part with zeros, so it too ends with the average; so does a rank that has no
        gradient at all. A parameter whose `.grad` is None on all ranks keeps None: an optimizer must go on to skip it.
        Frozen parameters (requires_grad=False) take no part and keep None.

        Communicates: all-reduces only, in which each trainable parameter's gradient goes once, in its own dtype; those that
            no rank used may be left out. To agree on what was used, at most 8 bytes more per trainable parameter. All of
            them have ended when this returns: what is issued is waited for, even if its result is not needed.
        """
        # TODO(naive_ddp): write this part, and delete the line below.
        raise NotImplementedError("TODO(naive_ddp)")
