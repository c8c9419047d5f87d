"""Backward is the conjugate Function's forward; communication by torch's functional collectives."""

import torch
import torch.distributed as dist
from torch.distributed import _functional_collectives as collectives


def _group(group):
    return group or dist.group.WORLD


class _CopyCast(torch.autograd.Function):
    """The identity."""

    @staticmethod
    def forward(ctx, x, group):
        ctx.group = group
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return collectives.wait_tensor(collectives.all_reduce(grad.contiguous(), "sum", _group(ctx.group))), None


class _ReduceCast(torch.autograd.Function):
    """The sum."""

    @staticmethod
    def forward(ctx, x, group):
        return collectives.wait_tensor(collectives.all_reduce(x.contiguous(), "sum", _group(group)))

    @staticmethod
    def backward(ctx, grad):
        return grad.clone(), None


class _ScatterCast(torch.autograd.Function):
    """A part."""

    @staticmethod
    def forward(ctx, x, group, dim):
        ctx.group, ctx.dim = group, dim
        length = x.size(dim) // dist.get_world_size(group)
        return x.narrow(dim, length * dist.get_rank(group), length).clone()

    @staticmethod
    def backward(ctx, grad):
        return _GatherCast.forward(ctx, grad, ctx.group, ctx.dim), None, None


class _GatherCast(torch.autograd.Function):
    """All parts."""

    @staticmethod
    def forward(ctx, x, group, dim):
        ctx.group, ctx.dim = group, dim
        flat = collectives.all_gather_single(x.contiguous(), 0, _group(group))
        return torch.cat(collectives.wait_tensor(flat).chunk(dist.get_world_size(group)), dim)

    @staticmethod
    def backward(ctx, grad):
        return _ScatterCast.forward(ctx, grad, ctx.group, ctx.dim), None, None


def copy_to_tp(x, group=None):
    """Cast an invariant tensor to a replicated one."""
    return _CopyCast.apply(x, group)


def reduce_from_tp(x, group=None):
    """Cast a partial tensor to an invariant one."""
    return _ReduceCast.apply(x, group)


def scatter_to_tp(x, group=None, dim=-1):
    """Cast an invariant tensor to a varying one."""
    if x.size(dim) % dist.get_world_size(group) != 0:
        raise ValueError("The parts would not be equal.")
    return _ScatterCast.apply(x, group, dim)


def gather_from_tp(x, group=None, dim=-1):
    """Cast a varying tensor to an invariant one."""
    return _GatherCast.apply(x, group, dim)
