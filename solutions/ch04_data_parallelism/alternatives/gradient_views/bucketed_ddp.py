"""BucketedDDP whose gradients are views into the buckets, driven by hooks on the nodes that accumulate them.

So PyTorch's own DDP works with gradient_as_bucket_view=True.
"""

from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import nn


class BucketedDDP(nn.Module):
    """A module that is replicated on every rank of `group`, and whose gradients are averaged while backward runs."""

    def __init__(self, module, bucket_cap_bytes, group=None):
        if bucket_cap_bytes < 1:
            raise ValueError("a bucket needs room")
        super().__init__()
        self.module, self.group = module, group
        self.depth = 0
        for tensor in [*module.buffers(), *module.parameters()]:
            dist.broadcast(tensor.detach(), group_src=0, group=group)
        self.parameters_in = self._fill(bucket_cap_bytes)
        self.flat = [torch.zeros(sum(p.numel() for p in ps), dtype=ps[0].dtype) for ps in self.parameters_in]
        self.views = {}
        self.nodes = []  # autograd holds them weakly, and their hooks with them
        for index, (parameters, flat) in enumerate(zip(self.parameters_in, self.flat, strict=True)):
            for parameter, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
                self.views[parameter] = part.view_as(parameter)
                node = parameter.expand_as(parameter).grad_fn.next_functions[0][0]
                node.register_hook(lambda *_, parameter=parameter, index=index: self._ready(parameter, index))
                self.nodes.append(node)
        self._reset()

    def _fill(self, cap):
        buckets, room = [], 0
        for parameter in reversed([p for p in self.module.parameters() if p.requires_grad]):
            nbytes = parameter.numel() * parameter.element_size()
            if not buckets or nbytes > room or buckets[-1][-1].dtype != parameter.dtype:
                buckets.append([])
                room = cap
            buckets[-1].append(parameter)
            room -= nbytes
        return buckets

    def _reset(self):
        self.works = []
        self.ready = [set() for _ in self.flat]

    def forward(self, *args, **kwargs):
        """Return what the module returns."""
        return self.module(*args, **kwargs)

    @contextmanager
    def no_sync(self):
        """Let gradients accumulate on this rank."""
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1

    def _into_bucket(self, parameter):
        view = self.views[parameter]
        if parameter.grad is None:
            view.zero_()
        elif parameter.grad.data_ptr() != view.data_ptr():
            view.copy_(parameter.grad)
            parameter.grad = view

    def _ready(self, parameter, index):
        if self.depth:
            return
        self.ready[index].add(parameter)
        while len(self.works) < len(self.flat) and len(self.ready[len(self.works)]) == len(
            self.parameters_in[len(self.works)]
        ):
            self._issue()

    def _issue(self):
        index = len(self.works)
        for parameter in self.parameters_in[index]:
            self._into_bucket(parameter)
        self.works.append(dist.all_reduce(self.flat[index], dist.ReduceOp.AVG, self.group, async_op=True))

    def finish_grad_sync(self):
        """Issue what has not been issued, wait for all of it, and leave the averages in every `.grad`."""
        flags = torch.tensor([float(p.grad is not None) for p in self.views])
        while len(self.works) < len(self.flat):
            self._issue()
        dist.all_reduce(flags, group=self.group)  # after the buckets: ranks may have issued unequally many before
        for work in self.works:
            work.wait()
        for (parameter, view), flag in zip(self.views.items(), flags, strict=True):
            parameter.grad = view if flag else None
        self._reset()
