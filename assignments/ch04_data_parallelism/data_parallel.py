"""One training step as nn.DataParallel does it: one process, a replica and a thread per device, everything through the first.

The devices are pretended: the replicas are copies on the CPU. What is real is the structure of the step, and the number
of elements that the first device has to gather.
"""

import copy
import threading
from collections.abc import Callable

import torch
from torch import Tensor, nn


def data_parallel_step(
    module: nn.Module,
    x: Tensor,
    y: Tensor,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    n_replicas: int,
    *,
    loss_inside: bool = False,
) -> tuple[Tensor, int]:
    """Return the loss of the whole batch and the number of gathered elements; leave the gradients in `module`.

    Scatter: x and y are cut along dim 0 as torch.chunk(n_replicas) cuts them, into shards of ceil(B / n_replicas) rows of
    which the last may be shorter; fewer rows than that give fewer shards. Replicate: for each shard a deep copy of
    `module`, which shares no memory with it or with another copy. Apply: every copy runs forward on its shard in a thread
    of its own, all at the same time. Then

    * loss_inside=False: the outputs are gathered, in order, and the loss is loss_fn(all outputs, y);
    * loss_inside=True: loss_fn(output, shard of y) is computed with each replica, and only these scalars are gathered.
      `loss_fn` is a mean over rows, so the loss is the mean of the scalars weighted with their numbers of rows.

    Reduce: the gradients of this loss are summed over the replicas and added to `module`'s `.grad`, as backward() on
    `module` itself would do it: to what is there already; None where a parameter was not used. Nothing else in `module`
    changes, buffers included: the copies are thrown away.

    Shapes: x (B, ...) and y (B, ...) with B >= 1; module(x) has B rows, too. Both stay as they were. The loss is a tensor of
        no dimension; the number is that of all elements of the outputs, or with loss_inside the number of shards.
    Raises: ValueError if n_replicas is less than 1; what a replica raises in its thread is raised here, of
        several the first shard's.
    Source: PyTorch documentation, torch.nn.DataParallel, https://docs.pytorch.org/docs/stable/generated/torch.nn.DataParallel.html
    """
    # TODO(data_parallel_step): write this part, and delete the line below.
    raise NotImplementedError("TODO(data_parallel_step)")
