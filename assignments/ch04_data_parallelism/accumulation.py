"""A large batch in small pieces: gradients accumulate over micro-batches, and are communicated once."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn


def accumulate_step(
    ddp: nn.Module,
    micro_batches: Sequence[tuple[Tensor, Tensor]],
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
) -> Tensor:
    """Train one step on all of this rank's micro-batches; return the mean loss over their rows.

    `loss_fn(output, y)` is the mean over the rows of a micro-batch (rows: len(x)). The gradient of the step is that of the
    mean over all rows of this rank, averaged over the ranks: micro-batches of different sizes count by their rows, and
    gradients from before the step do not count. Then optimizer.step(), once.

    Of `ddp` this may use three things. `ddp(x)` is the module's output. `ddp.no_sync()` is a context manager. As in
    PyTorch's DDP, a forward pass outside it makes the next backward communicate, one inside does not; so forward and
    backward of a micro-batch both belong inside, or both outside. `ddp.finish_grad_sync()` is called once, after the last
    backward and before optimizer.step(); it needs the last pass to have been outside no_sync(), which is also where
    communication can hide behind computation. `ddp` may be a BucketedDDP, or PyTorch's own DDP with that method added.

    What backward needs of a micro-batch is freed before the next one's forward: memory does not grow with their number.

    Shapes: a micro-batch is (x, y) with equally many rows. The list and its tensors stay as they were. The result is a
        tensor of no dimension, without a graph.
    Communicates: what one backward outside no_sync() does, not more.
    Raises: ValueError if there are no micro-batches.
    Source: Li et al. 2020, PyTorch Distributed: Experiences on Accelerating Data Parallel Training, arXiv:2006.15704, section 3.2.4
    """
    # TODO(accumulate_step): write this part, and delete the line below.
    raise NotImplementedError("TODO(accumulate_step)")
