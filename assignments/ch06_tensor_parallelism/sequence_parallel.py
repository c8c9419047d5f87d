"""Sequence parallelism: between the cut layers each rank has its own tokens, and not all of them once more."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import ProcessGroup


def gather_from_sp(x: Tensor, group: ProcessGroup | None = None, dim: int = 1) -> Tensor:
    """Cast a varying x to a replicated one. Return the x of all ranks, in group order one after the other along dim.

    Each rank goes on with a computation of its own, so the gradient of this rank's x is its part of the *sum* of the ranks'
    gradients. In both functions x and the gradient that arrives stay as they were, and neither need be contiguous.

    Shapes: x (..., n, ...) with n at `dim`, the same shape on all ranks; the result (..., N n, ...).
    Communicates: one all-gather forward and one reduce-scatter backward, each of as many elements as the result has.
    Source: Korthikanti et al. 2022, Reducing Activation Recomputation in Large Transformer Models, arXiv:2205.05198, section 4.2.2
    """
    # TODO(sequence_parallel): write this part, and delete the line below.
    raise NotImplementedError("TODO(sequence_parallel)")


def reduce_scatter_to_sp(x: Tensor, group: ProcessGroup | None = None, dim: int = 1) -> Tensor:
    """Cast a partial x to a varying one. Return this rank's of N equal parts, along dim, of the sum of the ranks' x.

    The gradient of x is made of the gradients of all parts, the same on all ranks.

    Shapes: x (..., n, ...) with n at `dim`, the same shape on all ranks; the result (..., n / N, ...).
    Communicates: one reduce-scatter forward and one all-gather backward, each of as many elements as x has.
    Raises: ValueError if N does not divide n.
    """
    # TODO(sequence_parallel): write this part, and delete the line below.
    raise NotImplementedError("TODO(sequence_parallel)")


class SPTransformerBlock(nn.Module):
    """A transformer block whose norms and residual sums see only this rank's tokens.

    `attention` and `mlp` are modules that you are given. Each maps the replicated tokens of all ranks, (b, s, d), to this
    rank's part of a sum, (b, s, d); neither communicates, and neither adds the bias of its output. With h = s / N tokens

        x = x + (this rank's tokens of the sum of attention(all tokens of norm1(x))) + attention_bias
        x = x + (this rank's tokens of the sum of mlp(all tokens of norm2(x))) + mlp_bias

    Modules: `attention`, `mlp`, and `norm1` and `norm2`, each an nn.LayerNorm(d). Norms are called as modules, once in a
        pass, on this rank's tokens. Parameters: `attention_bias` (d) and `mlp_bias` (d), zeros at first.
    Shapes: x and the result (b, h, d), varying: rank r of the N ranks of `group` has the r-th of N equal parts of the sequence.
    Gradients: that of x is the gradient of the sum of all ranks' losses. Norms and biases are the same on all ranks, but each
        rank's tokens give a part of their gradients only. finish_grad_sync() sums these.
    Communicates: forward two all-gathers and two reduce-scatters of b s d elements each, and backward the same.
    """

    def __init__(self, d: int, attention: nn.Module, mlp: nn.Module, *, group: ProcessGroup | None = None) -> None:
        super().__init__()
        # TODO(sequence_parallel): write this part, and delete the line below.
        raise NotImplementedError("TODO(sequence_parallel)")

    def forward(self, x: Tensor) -> Tensor:
        """Return what the class says."""
        # TODO(sequence_parallel): write this part, and delete the line below.
        raise NotImplementedError("TODO(sequence_parallel)")

    def finish_grad_sync(self) -> None:
        """Replace .grad of the parameters of both norms and of both biases by its sum over the ranks.

        It is called once in a step, after the last backward pass, however many there were. Other gradients stay as they are.
        Communicates: one all-reduce of 6 d elements.
        """
        # TODO(sequence_parallel): write this part, and delete the line below.
        raise NotImplementedError("TODO(sequence_parallel)")
