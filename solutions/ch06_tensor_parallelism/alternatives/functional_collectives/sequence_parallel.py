"""torch's functional collectives, and gradients gathered by name."""

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed import _functional_collectives as collectives


def _gathered(x, group, dim):
    group = group or dist.group.WORLD
    flat = collectives.wait_tensor(collectives.all_gather_single(x.contiguous(), 0, group))
    return torch.cat(flat.chunk(dist.get_world_size(group)), dim)


def _scattered(x, group, dim):
    group = group or dist.group.WORLD
    front = x.movedim(dim, 0).contiguous()
    return collectives.wait_tensor(collectives.reduce_scatter_single(front, "sum", 0, group)).movedim(0, dim)


class _Pair(torch.autograd.Function):
    """One way forward, the other backward."""

    @staticmethod
    def forward(ctx, x, group, dim, ways):
        ctx.group, ctx.dim, ctx.back = group, dim, ways[1]
        return ways[0](x, group, dim)

    @staticmethod
    def backward(ctx, grad):
        return ctx.back(grad, ctx.group, ctx.dim), None, None, None


def gather_from_sp(x, group=None, dim=1):
    """All tokens."""
    return _Pair.apply(x, group, dim, (_gathered, _scattered))


def reduce_scatter_to_sp(x, group=None, dim=1):
    """Own tokens of the sum."""
    if x.size(dim) % dist.get_world_size(group) > 0:
        raise ValueError("no equal parts")
    return _Pair.apply(x, group, dim, (_scattered, _gathered))


class SPTransformerBlock(nn.Module):
    """A block."""

    def __init__(self, d, attention, mlp, *, group=None):
        super().__init__()
        self.mlp = mlp
        self.attention = attention
        biases = ("attention_bias", "mlp_bias")
        for name in biases:
            self.register_parameter(name, nn.Parameter(torch.zeros(d)))
        for name in ("norm1", "norm2"):
            self.add_module(name, nn.LayerNorm(d))
        self.group = group

    def forward(self, x):
        """Apply."""
        for norm, inner, bias in (
            (self.norm1, self.attention, self.attention_bias),
            (self.norm2, self.mlp, self.mlp_bias),
        ):
            x = x + bias + reduce_scatter_to_sp(inner(gather_from_sp(norm(x), self.group)), self.group)
        return x

    def finish_grad_sync(self):
        """Sum."""
        own = [p for name, p in self.named_parameters() if not name.startswith(("attention.", "mlp."))]
        stacked = torch.stack([p.grad for p in own])
        dist.all_reduce(stacked, dist.ReduceOp.SUM, self.group)
        for p, grad in zip(own, stacked, strict=True):
            p.grad = grad.clone()
