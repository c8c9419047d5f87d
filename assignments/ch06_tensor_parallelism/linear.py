"""Two linear layers cut over the ranks of a group, and the MLP that is made of one of each.

N is the size of the group, r this rank's number in it. Weights are (d_out, d_in), as in nn.Linear. Of every tensor it is said
whether it is replicated, invariant, varying or partial over the group; see operators.py, of which you bring along what you need.
"""

import math
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.nn import functional


class ColumnParallelLinear(nn.Module):
    """y = x A^T + b with the outputs cut: rank r computes the r-th of N equal parts of y's last dim.

    Parameters: `weight` (d_out / N, d_in), rows r d_out / N and following of A; `bias` (d_out / N), the same part of b, or
    None without `bias`. Both are varying.

    The layer begins with the shard of one matrix, the same whatever N is: (2 u - 1) / sqrt(d_in), where u is
    torch.rand(d_out, d_in, generator=torch.Generator().manual_seed(seed)). The bias begins as zeros. The default generator
    is not used.

    Shapes: x (..., d_in), invariant. The result is (..., d_out / N), varying; with `gather_output` it is (..., d_out),
        invariant, the parts in group order.
    Gradients: that of x is the whole gradient, the same on all ranks; weight.grad and bias.grad are this rank's part of
        the gradients of A and b. Two backward passes add up.
    Communicates: forward nothing, with `gather_output` one all-gather of the result; backward one all-reduce of as many
        elements as x has, and nothing else. The constructor and load_full communicate nothing.
    Raises: ValueError in the constructor if N does not divide d_out.
    Source: Shoeybi et al. 2019, Megatron-LM: Training Multi-Billion Parameter Language Models Using Model Parallelism, arXiv:1909.08053, section 3
    """

    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(
        self,
        d_in: int,
        d_out: int,
        *,
        bias: bool = True,
        gather_output: bool = False,
        seed: int = 0,
        group: ProcessGroup | None = None,
    ) -> None:
        super().__init__()
        # TODO(parallel_linear): write this part, and delete the line below.
        raise NotImplementedError("TODO(parallel_linear)")

    def load_full(self, weight: Tensor, bias: Tensor | None = None) -> None:
        """Copy this rank's part of the whole weight (d_out, d_in) and bias (d_out) into the parameters.

        The parameters stay the same objects, with memory of their own.
        Raises: ValueError if a shape is another, or if a bias is given to a layer without one, or not given to one with it;
        the layer then stays as it was.
        """
        # TODO(parallel_linear): write this part, and delete the line below.
        raise NotImplementedError("TODO(parallel_linear)")

    def forward(self, x: Tensor) -> Tensor:
        """Return y, or this rank's part of it, as the class says."""
        # TODO(parallel_linear): write this part, and delete the line below.
        raise NotImplementedError("TODO(parallel_linear)")


class RowParallelLinear(nn.Module):
    """y = x A^T + b with the inputs cut: rank r multiplies the r-th of N equal parts of x's last dim, and the products are summed.

    Parameters: `weight` (d_out, d_in / N), columns r d_in / N and following of A, varying; `bias` (d_out), the whole b,
    invariant, or None without `bias`. b is added once, not once per rank.

    weight and bias begin as those of ColumnParallelLinear do: a shard of the same matrix, and zeros.

    Shapes: x (..., d_in / N), varying; without `input_is_parallel` it is (..., d_in), invariant, and each rank takes its part.
        The result is (..., d_out), invariant.
    Gradients: that of x has the shape of x; weight.grad is this rank's part of the gradient of A; bias.grad is the whole
        gradient of b, the same on all ranks. Two backward passes add up.
    Communicates: forward one all-reduce of as many elements as the result has; backward nothing, without
        `input_is_parallel` one all-gather of as many elements as x has. The constructor and load_full communicate nothing.
    Raises: ValueError in the constructor if N does not divide d_in.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(
        self,
        d_in: int,
        d_out: int,
        *,
        bias: bool = True,
        input_is_parallel: bool = True,
        seed: int = 0,
        group: ProcessGroup | None = None,
    ) -> None:
        super().__init__()
        # TODO(parallel_linear): write this part, and delete the line below.
        raise NotImplementedError("TODO(parallel_linear)")

    def load_full(self, weight: Tensor, bias: Tensor | None = None) -> None:
        """Copy this rank's part of the whole weight, and the whole bias, as ColumnParallelLinear.load_full does."""
        # TODO(parallel_linear): write this part, and delete the line below.
        raise NotImplementedError("TODO(parallel_linear)")

    def forward(self, x: Tensor) -> Tensor:
        """Return y, as the class says."""
        # TODO(parallel_linear): write this part, and delete the line below.
        raise NotImplementedError("TODO(parallel_linear)")


class ParallelMLP(nn.Module):
    """The MLP of a transformer, down(gelu(up(x))), with the exact GELU.

    Modules: `up`, a ColumnParallelLinear(d, d_ff) with this seed, and `down`, a RowParallelLinear(d_ff, d) with seed + 1;
    both have a bias. What lies between them is varying, and is never gathered.

    Shapes: x and the result (..., d), invariant.
    Communicates: one all-reduce of as many elements as x has forward, and one backward; nothing else.
    Raises: ValueError in the constructor if N does not divide d_ff.
    """

    def __init__(self, d: int, d_ff: int, *, seed: int = 0, group: ProcessGroup | None = None) -> None:
        super().__init__()
        # TODO(parallel_linear): write this part, and delete the line below.
        raise NotImplementedError("TODO(parallel_linear)")

    def forward(self, x: Tensor) -> Tensor:
        """Return down(gelu(up(x)))."""
        # TODO(parallel_linear): write this part, and delete the line below.
        raise NotImplementedError("TODO(parallel_linear)")
