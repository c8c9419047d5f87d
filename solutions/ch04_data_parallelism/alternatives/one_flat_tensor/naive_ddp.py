"""NaiveDDP with one broadcast and one all-reduce per dtype; the flags travel behind the gradients."""

from collections import defaultdict

import torch
import torch.distributed as dist
from torch import nn


def _by_dtype(tensors):
    groups = defaultdict(list)
    for tensor in tensors:
        groups[tensor.dtype].append(tensor)
    return groups.values()


class NaiveDDP(nn.Module):
    """A module that is replicated on every rank of `group` and trained as one."""

    def __init__(self, module, group=None):
        super().__init__()
        self.module = module
        self.group = group
        for tensors in _by_dtype(tensor.detach() for tensor in [*module.parameters(), *module.buffers()]):
            flat = torch.cat([tensor.flatten() for tensor in tensors])
            dist.broadcast(flat, group_src=0, group=group)
            for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
                tensor.copy_(part.view_as(tensor))

    def forward(self, *args, **kwargs):
        """Return what the module returns."""
        return self.module(*args, **kwargs)

    def finish_grad_sync(self):
        """Replace every gradient by its average over the ranks of the group."""
        for parameters in _by_dtype(p for p in self.module.parameters() if p.requires_grad):
            flags = torch.tensor([p.grad is not None for p in parameters], dtype=parameters[0].dtype)
            grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
            flat = torch.cat([*(grad.flatten() for grad in grads), flags])
            dist.all_reduce(flat, op=dist.ReduceOp.AVG, group=self.group)
            *averages, flags = flat.split([*(p.numel() for p in parameters), len(parameters)])
            for parameter, average, flag in zip(parameters, averages, flags, strict=True):
                parameter.grad = average.view_as(parameter).clone() if flag > 0 else None
