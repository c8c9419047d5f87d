"""The four casts that tensor parallelism is made of, each with the gradient that belongs to it.

A tensor is *replicated* (one value, used differently by each rank), *invariant* (one value, used alike), *varying* (a value
per rank) or *partial* (a value per rank; their sum is meant). Its gradient is partial, invariant, varying or replicated.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup

### BEGIN SOLUTION


def _sum(x: Tensor, group: ProcessGroup | None) -> Tensor:
    """Return the sum of x over the group, in a tensor of its own."""
    total = x.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total, group=group)
    return total


def _part(x: Tensor, group: ProcessGroup | None, dim: int) -> Tensor:
    """Return this rank's part of x along dim."""
    size = dist.get_world_size(group)
    if x.shape[dim] % size:
        raise ValueError(f"Dim {dim} of {tuple(x.shape)} cannot be cut into {size} equal parts.")
    return x.chunk(size, dim)[dist.get_rank(group)].clone(memory_format=torch.contiguous_format)


def _whole(x: Tensor, group: ProcessGroup | None, dim: int) -> Tensor:
    """Return the parts of all ranks, one after the other along dim."""
    x = x.contiguous()
    parts = [torch.empty_like(x) for _ in range(dist.get_world_size(group))]
    dist.all_gather(parts, x, group=group)
    return torch.cat(parts, dim)


class _Copy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: ProcessGroup | None) -> Tensor:
        ctx.group = group
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _sum(grad, ctx.group), None


class _Reduce(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: ProcessGroup | None) -> Tensor:
        return _sum(x, group)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None


class _Scatter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: ProcessGroup | None, dim: int) -> Tensor:
        ctx.group, ctx.dim = group, dim
        return _part(x, group, dim)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return _whole(grad, ctx.group, ctx.dim), None, None


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: ProcessGroup | None, dim: int) -> Tensor:
        ctx.group, ctx.dim = group, dim
        return _whole(x, group, dim)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return _part(grad, ctx.group, ctx.dim), None, None


### END SOLUTION


def copy_to_tp(x: Tensor, group: ProcessGroup | None = None) -> Tensor:
    """Cast an invariant x to a replicated one: Megatron's f. Return the values of x.

    Each rank of the group (None: all ranks) goes on with a computation of its own, so each has a part of the gradient:
    the gradient of x is the sum of the ranks' gradients, the same on all of them.

    In all four functions x and the gradient that arrives in backward stay as they were, and neither need be contiguous.

    Shapes: x and the result have the same shape, any shape.
    Communicates: nothing forward; one all-reduce of as many elements as x has, backward.
    Source: Shoeybi et al. 2019, Megatron-LM: Training Multi-Billion Parameter Language Models Using Model Parallelism, arXiv:1909.08053, section 3 and code 1
    """
    ### BEGIN SOLUTION
    out: Tensor = _Copy.apply(x, group)
    return out
    ### END SOLUTION


def reduce_from_tp(x: Tensor, group: ProcessGroup | None = None) -> Tensor:
    """Cast a partial x to an invariant one: Megatron's g. Return the sum of the ranks' x, the same on all of them.

    From here on all ranks compute the same, so the gradient that arrives is the same on all of them, and is whole: it is
    the gradient of each rank's x as it stands.

    Shapes: x and the result have the same shape, any shape, which is that of the other ranks' x as well.
    Communicates: one all-reduce of as many elements as x has, forward; nothing backward.
    """
    ### BEGIN SOLUTION
    out: Tensor = _Reduce.apply(x, group)
    return out
    ### END SOLUTION


def scatter_to_tp(x: Tensor, group: ProcessGroup | None = None, dim: int = -1) -> Tensor:
    """Cast an invariant x to a varying one. Return this rank's of N equal parts of x along dim.

    Part r belongs to the rank that is number r *in the group*. The gradient of x is made of the gradients of all parts,
    the same on all ranks.

    Shapes: x (..., n, ...) with n at `dim`; the result (..., n / N, ...).
    Communicates: nothing forward; one all-gather of as many elements as x has, backward.
    Raises: ValueError if N does not divide n.
    """
    ### BEGIN SOLUTION
    out: Tensor = _Scatter.apply(x, group, dim)
    return out
    ### END SOLUTION


def gather_from_tp(x: Tensor, group: ProcessGroup | None = None, dim: int = -1) -> Tensor:
    """Cast a varying x to an invariant one. Return the x of all ranks, in group order one after the other along dim.

    The gradient that arrives is the same on all ranks, and is whole: the gradient of this rank's x is its own part of it.

    Shapes: x (..., n, ...) with n at `dim`, the same shape on all ranks; the result (..., N n, ...).
    Communicates: one all-gather of as many elements as the result has, forward; nothing backward.
    """
    ### BEGIN SOLUTION
    out: Tensor = _Gather.apply(x, group, dim)
    return out
    ### END SOLUTION
