"""Data parallelism that communicates in buckets, behind backward.

Backward computes the gradients of the last layers first. An all-reduce of them can run while the gradients of the layers
before are still being computed; and one all-reduce of a full bucket is cheaper than one of every small gradient.

    ddp = BucketedDDP(module, bucket_cap_bytes=25 * 2**20)
    optimizer = torch.optim.SGD(ddp.parameters(), lr=0.1)
    for x, y in batches_of_this_rank:
        optimizer.zero_grad()
        loss_fn(ddp(x), y).backward()        # issues an all-reduce whenever a bucket is complete
        ddp.finish_grad_sync()               # waits for all of them
        optimizer.step()
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import ProcessGroup


class BucketedDDP(nn.Module):
    """A module that is replicated on every rank of `group`, and whose gradients are averaged while backward runs.

    It begins, and finish_grad_sync leaves the gradients, exactly as NaiveDDP of exercise 4.3 does: parameters and
    buffers broadcast in place from group rank 0; afterwards averages, also where this rank used a parameter not at all;
    None where no rank used it; frozen parameters left alone; `ddp.module is module`.

    Buckets: go through the trainable parameters in the reverse of the order of `module.parameters()`, a tied one counting
    once. A parameter joins the current bucket if the bucket's bytes then do not exceed `bucket_cap_bytes` and the bucket
    has its dtype; otherwise the current bucket is closed and the parameter begins the next. So only a bucket of a single
    parameter can exceed the cap. Bucket 0 holds the last parameters.

    Order: every rank issues the all-reduces in the order 0, 1, 2, ..., in whatever order its gradients become ready. An
    all-reduce is issued as soon as the gradients of its own bucket and of all buckets before it have been accumulated:
    before any other parameter's gradient is. The last bucket's may also be issued in finish_grad_sync, and so may
    those that wait for a parameter which this rank did not use. Nothing is waited for before finish_grad_sync.

    Memory: nothing of a step is kept after the next one; memory does not grow with the number of steps.
    Communicates: __init__ as NaiveDDP. Per step one asynchronous all-reduce for each bucket, of its gradients and
        nothing else, over the buckets of all trainable parameters, used or not. To agree on which were used, at
        most one more all-reduce per step, in finish_grad_sync after all buckets', of at most 8 bytes per parameter.
    Raises: ValueError if bucket_cap_bytes is less than 1.
    Source: Li et al. 2020, PyTorch Distributed: Experiences on Accelerating Data Parallel Training, arXiv:2006.15704, sections 3.2.2 and 3.2.3
    """

    def __init__(self, module: nn.Module, bucket_cap_bytes: int, group: ProcessGroup | None = None) -> None:
        super().__init__()
        self.module = module
        # TODO(bucketed_ddp): write this part, and delete the line below.
        raise NotImplementedError("TODO(bucketed_ddp)")

    def forward(self, *args, **kwargs):
        """Return what the module returns."""
        return self.module(*args, **kwargs)

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """Let gradients accumulate on this rank: forward and backward passes inside the block communicate nothing.

        Forward and backward of a micro-batch both run inside the block, or both outside. Afterwards, also when the block
        raised, everything is as it was before it; blocks may be nested. The next backward outside, or
        finish_grad_sync, takes `.grad` as it is then: the sum of all passes.
        """
        # TODO(bucketed_ddp): write this part, and delete the line below.
        raise NotImplementedError("TODO(bucketed_ddp)")

    def finish_grad_sync(self) -> None:
        """Issue what has not been issued, wait for all of it, and leave in every `.grad` the average over the ranks.

        Every rank calls this once per step, after at most one backward pass outside no_sync(), the last of the step. What
        is averaged is `.grad` as it is when its bucket is issued, None counting as zeros: also of a parameter that only a
        pass inside no_sync() has used, and also if there was no pass outside, or no pass at all. Steps of all these kinds
        may follow one another.
        """
        # TODO(bucketed_ddp): write this part, and delete the line below.
        raise NotImplementedError("TODO(bucketed_ddp)")
