"""The four casts that tensor parallelism is made of, each with the gradient that belongs to it.

A tensor is *replicated* (one value, used differently by each rank), *invariant* (one value, used alike), *varying* (a value
per rank) or *partial* (a value per rank; their sum is meant). Its gradient is partial, invariant, varying or replicated.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup


def copy_to_tp(x: Tensor, group: ProcessGroup | None = None) -> Tensor:
    """Cast an invariant x to a replicated one: Megatron's f. Return the values of x.

    Each rank of the group (None: all ranks) goes on with a computation of its own, so each has a part of the gradient:
    the gradient of x is the sum of the ranks' gradients, the same on all of them.

    In all four functions x and the gradient that arrives in backward stay as they were, and neither need be contiguous.

    Shapes: x and the result have the same shape, any shape.
    Communicates: nothing forward; one all-reduce of as many elements as x has, backward.
    Source: Shoeybi et al. 2019, Megatron-LM: Training Multi-Billion Parameter Language Models Using Model Parallelism, arXiv:1909.08053, section 3 and code 1
    """
    # TODO(tp_operators): write this part, and delete the line below.
    raise NotImplementedError("TODO(tp_operators)")


def reduce_from_tp(x: Tensor, group: ProcessGroup | None = None) -> Tensor:
    """Cast a partial x to an invariant one: Megatron's g. Return the sum of the ranks' x, the same on all of them.

    From here on all ranks compute the same, so the gradient that arrives is the same on all of them, and is whole: it is
    the gradient of each rank's x as it stands.

    Shapes: x and the result have the same shape, any shape, which is that of the other ranks' x as well.
    Communicates: one all-reduce of as many elements as x has, forward; nothing backward.
    """
    # TODO(tp_operators): write this part, and delete the line below.
    raise NotImplementedError("TODO(tp_operators)")


def scatter_to_tp(x: Tensor, group: ProcessGroup | None = None, dim: int = -1) -> Tensor:
    """Cast an invariant x to a varying one. Return this rank's of N equal parts of x along dim.

    Part r belongs to the rank that is number r *in the group*. The gradient of x is made of the gradients of all parts,
    the same on all ranks.

    Shapes: x (..., n, ...) with n at `dim`; the result (..., n / N, ...).
    Communicates: nothing forward; one all-gather of as many elements as x has, backward.
    Raises: ValueError if N does not divide n.
    """
    # TODO(tp_operators): write this part, and delete the line below.
    raise NotImplementedError("TODO(tp_operators)")


def gather_from_tp(x: Tensor, group: ProcessGroup | None = None, dim: int = -1) -> Tensor:
    """Cast a varying x to an invariant one. Return the x of all ranks, in group order one after the other along dim.

    The gradient that arrives is the same on all ranks, and is whole: the gradient of this rank's x is its own part of it.

    Shapes: x (..., n, ...) with n at `dim`, the same shape on all ranks; the result (..., N n, ...).
    Communicates: one all-gather of as many elements as the result has, forward; nothing backward.
    """
    # TODO(tp_operators): write this part, and delete the line below.
    raise NotImplementedError("TODO(tp_operators)")
