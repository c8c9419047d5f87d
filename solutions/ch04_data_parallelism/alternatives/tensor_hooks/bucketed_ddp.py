"""BucketedDDP without flat buffers, driven by one hook per parameter that sees the gradient before it is accumulated."""

from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import nn


class BucketedDDP(nn.Module):
    """A module that is replicated on every rank of `group`, and whose gradients are averaged while backward runs."""

    def __init__(self, module, bucket_cap_bytes, group=None):
        super().__init__()
        if not bucket_cap_bytes >= 1:
            raise ValueError("a bucket needs room")
        self.module, self.group = module, group
        self.enabled = True
        self.bucket_of, sizes = {}, []
        last = None
        for parameter in reversed([p for p in module.parameters() if p.requires_grad]):
            same = last is not None and last.dtype == parameter.dtype
            if not same or sizes[-1] + parameter.nbytes > bucket_cap_bytes:
                sizes.append(0)
            sizes[-1] += parameter.nbytes
            self.bucket_of[parameter], last = len(sizes) - 1, parameter
            parameter.register_hook(lambda grad, parameter=parameter: self._on_grad(parameter, grad))
        self.num_buckets = len(sizes)
        flat = [tensor.detach() for tensor in [*module.parameters(), *module.buffers()]]
        works = [dist.broadcast(tensor, group_src=0, group=group, async_op=True) for tensor in flat]
        for work in works:
            work.wait()
        self._reset()

    def _reset(self):
        self.arrived, self.sums, self.works = {}, {}, []

    def forward(self, *args, **kwargs):
        """Return what the module returns."""
        return self.module(*args, **kwargs)

    @contextmanager
    def no_sync(self):
        """Let gradients accumulate on this rank."""
        was, self.enabled = self.enabled, False
        try:
            yield
        finally:
            self.enabled = was

    def _members(self, index):
        return [parameter for parameter, bucket in self.bucket_of.items() if bucket == index]

    def _on_grad(self, parameter, grad):
        if self.enabled:
            self.arrived[parameter] = grad.clone() if parameter.grad is None else parameter.grad + grad
            while len(self.works) < self.num_buckets and all(p in self.arrived for p in self._members(len(self.works))):
                self._issue()

    def _issue(self):
        members = self._members(len(self.works))
        for parameter in members:
            there = self.arrived.get(parameter, parameter.grad)
            self.sums[parameter] = torch.zeros_like(parameter) if there is None else there.detach().clone()
        sums = [self.sums[parameter] for parameter in members]
        self.works.append(dist.all_reduce_coalesced(sums, group=self.group or dist.group.WORLD, async_op=True))

    def finish_grad_sync(self):
        """Issue what has not been issued, wait for all of it, and leave the averages in every `.grad`."""
        self.arrived.clear()  # by now everything is in .grad
        while len(self.works) < self.num_buckets:
            self._issue()
        used = torch.tensor([p.grad is not None for p in self.bucket_of])
        work = dist.all_reduce(used, op=dist.ReduceOp.MAX, group=self.group, async_op=True)
        for one in (*self.works, work):
            one.wait()
        for parameter, is_used in zip(self.bucket_of, used, strict=True):
            parameter.grad = self.sums[parameter] / dist.get_world_size(self.group) if is_used else None
        self._reset()
