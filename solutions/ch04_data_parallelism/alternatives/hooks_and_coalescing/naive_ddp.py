"""NaiveDDP that notes in hooks which parameters were used, and all-reduces everything at once, coalesced."""

import torch
import torch.distributed as dist
from torch import nn


class NaiveDDP(nn.Module):
    """A module that is replicated on every rank of `group` and trained as one."""

    def __init__(self, module, group=None):
        super().__init__()
        self.module = module
        self.group = group
        self.trainable = [p for p in module.parameters() if p.requires_grad]
        root = dist.get_process_group_ranks(group)[0] if group is not None else 0
        works = [
            dist.broadcast(tensor.data, src=root, group=group, async_op=True)
            for tensor in reversed([*module.buffers(), *module.parameters()])
        ]
        for work in works:
            work.wait()

    def forward(self, *args, **kwargs):
        """Return what the module returns."""
        return self.module(*args, **kwargs)

    @torch.no_grad()
    def finish_grad_sync(self):
        """Replace every gradient by its average over the ranks of the group."""
        size = dist.get_world_size(self.group)
        counts = torch.tensor([0 if p.grad is None else 1 for p in self.trainable])
        counting = dist.all_reduce(counts, group=self.group, async_op=True)
        grads = [torch.zeros_like(p) if p.grad is None else p.grad / size for p in self.trainable]
        works = [dist.all_reduce(grad, group=self.group, async_op=True) for grad in grads]
        for work in (counting, *works):
            work.wait()
        for parameter, grad, count in zip(self.trainable, grads, counts, strict=True):
            parameter.grad = grad if count else None
