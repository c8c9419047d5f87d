"""BucketedDDP without flat buffers: one coalesced all-reduce in place of a bucket's gradients."""

import contextlib

import torch
import torch.distributed as dist
from torch import nn


class BucketedDDP(nn.Module):
    """See the exercise."""

    def __init__(self, module, bucket_cap_bytes, group=None):
        super().__init__()
        if bucket_cap_bytes < 1:
            raise ValueError(f"A bucket of {bucket_cap_bytes} bytes holds nothing.")
        self.module, self.group, self.quiet = module, group, False
        self.buckets, self.next, self.done, self.works, self.strangers = [], 0, set(), [], []
        with torch.no_grad():
            for tensor in (*module.parameters(), *module.buffers()):
                dist.broadcast(tensor, group_src=0, group=group)
        for parameter in reversed(list(module.parameters())):
            if parameter.requires_grad:
                self._place(parameter, bucket_cap_bytes)
                parameter.register_post_accumulate_grad_hook(self._on_gradient)

    def _place(self, parameter, cap):
        fits = self.buckets and sum(p.nbytes for p in (*self.buckets[-1], parameter)) <= cap
        if fits and self.buckets[-1][0].dtype == parameter.dtype:
            self.buckets[-1].append(parameter)
        else:
            self.buckets.append([parameter])

    def forward(self, *args, **kwargs):
        """Return what the module returns."""
        return self.module(*args, **kwargs)

    @contextlib.contextmanager
    def no_sync(self):
        """Be quiet inside the block."""
        before = self.quiet
        self.quiet = True
        try:
            yield
        finally:
            self.quiet = before

    def _on_gradient(self, parameter):
        if not self.quiet:
            self.done.add(parameter)
            while self.next < len(self.buckets) - 1 and self.done.issuperset(self.buckets[self.next]):
                self._issue()

    def _issue(self):
        members = self.buckets[self.next]
        for parameter in members:
            if parameter.grad is None:
                self.strangers.append(parameter)
                parameter.grad = torch.zeros_like(parameter)
        self.works.append(dist.all_reduce_coalesced([p.grad for p in members], group=self.group, async_op=True))
        self.next += 1

    def finish_grad_sync(self):
        """Issue the rest, the last bucket always among it; divide in place."""
        while self.next < len(self.buckets):
            self._issue()
        for work in self.works:
            work.wait()
        everyone = [p for bucket in self.buckets for p in bucket]
        used = torch.tensor([p not in set(self.strangers) for p in everyone], dtype=torch.int32)
        dist.all_reduce(used, op=dist.ReduceOp.MAX, group=self.group)
        for parameter, is_used in zip(everyone, used.tolist(), strict=True):
            parameter.grad = parameter.grad / dist.get_world_size(self.group) if is_used else None
        self.next, self.done, self.works, self.strangers = 0, set(), [], []
