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

### BEGIN SOLUTION


class _Bucket:
    """Parameters whose gradients travel together."""

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        self.parameters = parameters
        self.num_missing = len(parameters)
        self.flat: Tensor | None = None
        self.work: dist.Work | None = None

    def launch(self, group: ProcessGroup | None) -> None:
        """Start the sum over the ranks of what .grad holds now."""
        grads = [torch.zeros_like(p) if p.grad is None else p.grad.to_dense() for p in self.parameters]
        self.flat = torch.cat([grad.flatten() for grad in grads])
        self.work = dist.all_reduce(self.flat, group=group, async_op=True)

    def finish(self, num_ranks: int) -> list[Tensor]:
        """Return the averaged gradients, and get ready for the next step."""
        self.work.wait()
        parts = self.flat.div_(num_ranks).split([p.numel() for p in self.parameters])
        self.num_missing, self.flat, self.work = len(self.parameters), None, None
        return [part.view_as(p) for part, p in zip(parts, self.parameters, strict=True)]


def _fill_buckets(parameters: list[nn.Parameter], cap: int) -> list[_Bucket]:
    """Return the buckets of trainable `parameters`, which come in the order of the module."""
    buckets: list[list[nn.Parameter]] = []
    for parameter in reversed(parameters):
        current = buckets[-1] if buckets else []
        fits = sum(p.nbytes for p in current) + parameter.nbytes <= cap
        if current and fits and current[0].dtype == parameter.dtype:
            current.append(parameter)
        else:
            buckets.append([parameter])
    return [_Bucket(members) for members in buckets]


### END SOLUTION


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
        ### BEGIN SOLUTION
        if bucket_cap_bytes < 1:
            raise ValueError(f"bucket_cap_bytes must be at least 1, not {bucket_cap_bytes}.")
        self.group = group
        self.buckets = _fill_buckets([p for p in module.parameters() if p.requires_grad], bucket_cap_bytes)
        self.num_launched = 0
        self.is_syncing = True
        with torch.no_grad():
            for tensor in (*module.parameters(), *module.buffers()):
                dist.broadcast(tensor, group_src=0, group=group)
        for bucket in self.buckets:
            for parameter in bucket.parameters:
                parameter.register_post_accumulate_grad_hook(lambda _, bucket=bucket: self._on_gradient(bucket))
        ### END SOLUTION

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
        ### BEGIN SOLUTION
        before, self.is_syncing = self.is_syncing, False
        try:
            yield
        finally:
            self.is_syncing = before
        ### END SOLUTION

    def finish_grad_sync(self) -> None:
        """Issue what has not been issued, wait for all of it, and leave in every `.grad` the average over the ranks.

        Every rank calls this once per step, after at most one backward pass outside no_sync(), the last of the step. What
        is averaged is `.grad` as it is when its bucket is issued, None counting as zeros: also of a parameter that only a
        pass inside no_sync() has used, and also if there was no pass outside, or no pass at all. Steps of all these kinds
        may follow one another.
        """
        ### BEGIN SOLUTION
        for bucket in self.buckets[self.num_launched :]:
            bucket.launch(self.group)
        self.num_launched = 0
        parameters = [p for bucket in self.buckets for p in bucket.parameters]
        if not parameters:
            return
        # The flags are made where the parameters are: NCCL carries nothing that is on the CPU.
        used = torch.tensor([p.grad is not None for p in parameters], dtype=torch.uint8, device=parameters[0].device)
        dist.all_reduce(used, op=dist.ReduceOp.MAX, group=self.group)
        averages = [grad for bucket in self.buckets for grad in bucket.finish(dist.get_world_size(self.group))]
        for parameter, average, is_used in zip(parameters, averages, used.tolist(), strict=True):
            if is_used:
                parameter.grad = average
        ### END SOLUTION

    ### BEGIN SOLUTION
    def _on_gradient(self, bucket: _Bucket) -> None:
        """Count a gradient that is ready, and launch what can be launched in order.

        Raises: RuntimeError if the gradient's bucket has left without it.
        """
        if bucket.work is not None:
            raise RuntimeError(
                "A gradient has changed after its bucket was issued. One backward pass outside no_sync() is allowed before "
                "finish_grad_sync(), which must also be called after a pass that raised, and before the next one."
            )
        if not self.is_syncing:
            return
        bucket.num_missing -= 1
        while self.num_launched < len(self.buckets) and self.buckets[self.num_launched].num_missing <= 0:
            self.buckets[self.num_launched].launch(self.group)
            self.num_launched += 1

    ### END SOLUTION
