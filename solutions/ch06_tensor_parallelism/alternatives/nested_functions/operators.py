"""One Function for all four: it is given what to do forward and what to do backward; a group of one does nothing."""

import torch
import torch.distributed as dist


class _Cast(torch.autograd.Function):
    """Apply one function to values and another to gradients."""

    @staticmethod
    def forward(ctx, x, there, back):
        ctx.back = back
        return there(x)

    @staticmethod
    def backward(ctx, grad):
        return ctx.back(grad), None, None


def _same(x):
    return x.clone()


def _summed(group):
    def act(x):
        x = x.contiguous().clone()
        if dist.get_world_size(group) > 1:
            dist.all_reduce(x, dist.ReduceOp.SUM, group)
        return x

    return act


def _cut(group, dim):
    def act(x):
        return torch.tensor_split(x, dist.get_world_size(group), dim)[dist.get_rank(group)].contiguous()

    return act


def _joined(group, dim):
    def act(x):
        front = x.movedim(dim, 0).contiguous()
        size = dist.get_world_size(group)
        if size == 1:
            return x.clone()
        out = front.new_empty(size * front.shape[0], *front.shape[1:])
        dist.all_gather_single(out, front, group=group)
        return out.movedim(0, dim).contiguous()

    return act


def copy_to_tp(x, group=None):
    """Apply f."""
    return _Cast.apply(x, _same, _summed(group))


def reduce_from_tp(x, group=None):
    """Apply g."""
    return _Cast.apply(x, _summed(group), _same)


def scatter_to_tp(x, group=None, dim=-1):
    """Own part."""
    size, n = dist.get_world_size(group), x.shape[dim]
    if n != n // size * size:
        raise ValueError(f"{n} is not a multiple of {size}.")
    return _Cast.apply(x, _cut(group, dim), _joined(group, dim))


def gather_from_tp(x, group=None, dim=-1):
    """All parts."""
    return _Cast.apply(x, _joined(group, dim), _cut(group, dim))
