"""Collectives with lists of tensors, and hooks that send gradients the other way."""

import torch
import torch.distributed as dist
from torch import nn


def _list_gather(x, group, dim):
    out = [torch.empty(x.shape, dtype=x.dtype) for _ in range(dist.get_world_size(group))]
    dist.all_gather(out, x.detach().contiguous(), group)
    return torch.cat(out, dim)


def _list_scatter(x, group, dim):
    parts = [part.contiguous() for part in x.detach().chunk(dist.get_world_size(group), dim)]
    out = torch.empty_like(parts[0])
    dist.reduce_scatter(out, parts, group=group)
    return out


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, group, dim, x):
        ctx.where = group, dim
        return _list_gather(x, group, dim)

    @staticmethod
    def backward(ctx, grad):
        return None, None, _list_scatter(grad, *ctx.where)


class _Scatter(torch.autograd.Function):
    @staticmethod
    def forward(ctx, group, dim, x):
        ctx.where = group, dim
        return _list_scatter(x, group, dim)

    @staticmethod
    def backward(ctx, grad):
        return None, None, _list_gather(grad, *ctx.where)


def gather_from_sp(x, group=None, dim=1):
    """All tokens."""
    return _Gather.apply(group, dim, x)


def reduce_scatter_to_sp(x, group=None, dim=1):
    """Own tokens of the sum."""
    n = dist.get_world_size(group)
    if n * (x.shape[dim] // n) != x.shape[dim]:
        raise ValueError(f"{x.shape[dim]} / {n}")
    return _Scatter.apply(group, dim, x)


class SPTransformerBlock(nn.Module):
    """A block."""

    def __init__(self, d, attention, mlp, *, group=None):
        super().__init__()
        self.norm1 = nn.LayerNorm(d)
        self.attention = attention
        self.attention_bias = nn.Parameter(torch.zeros(d))
        self.norm2 = nn.LayerNorm(d)
        self.mlp = mlp
        self.mlp_bias = nn.Parameter(torch.zeros(d))
        self._group = group

    def forward(self, x):
        """Apply."""
        every = gather_from_sp(self.norm1(x), self._group)
        x = reduce_scatter_to_sp(self.attention(every), self._group).add(x).add(self.attention_bias)
        every = gather_from_sp(self.norm2(x), self._group)
        return reduce_scatter_to_sp(self.mlp(every), self._group).add(x).add(self.mlp_bias)

    @torch.no_grad()
    def finish_grad_sync(self):
        """Sum."""
        partial = [
            self.norm1.weight,
            self.norm1.bias,
            self.norm2.weight,
            self.norm2.bias,
            self.attention_bias,
            self.mlp_bias,
        ]
        buffer = torch.empty(6, len(self.mlp_bias), dtype=self.mlp_bias.dtype)
        for row, parameter in zip(buffer, partial, strict=True):
            row[:] = parameter.grad
        dist.all_reduce(buffer, group=self._group)
        for row, parameter in zip(buffer, partial, strict=True):
            parameter.grad[:] = row
