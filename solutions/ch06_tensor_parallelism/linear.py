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

### BEGIN SOLUTION


class _Copy(torch.autograd.Function):
    """Invariant to replicated."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: ProcessGroup | None) -> Tensor:
        ctx.group = group
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        total = grad.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total, group=ctx.group)
        return total, None


class _Reduce(torch.autograd.Function):
    """Partial to invariant."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: ProcessGroup | None) -> Tensor:
        total = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None


def _part(x: Tensor, group: ProcessGroup | None) -> Tensor:
    return x.chunk(dist.get_world_size(group), -1)[dist.get_rank(group)].contiguous()


def _whole(x: Tensor, group: ProcessGroup | None) -> Tensor:
    x = x.contiguous()
    parts = [torch.empty_like(x) for _ in range(dist.get_world_size(group))]
    dist.all_gather(parts, x, group=group)
    return torch.cat(parts, -1)


class _Scatter(torch.autograd.Function):
    """Invariant to varying, along the last dim."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: ProcessGroup | None) -> Tensor:
        ctx.group = group
        return _part(x, group)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _whole(grad, ctx.group), None


class _Gather(torch.autograd.Function):
    """Varying to invariant, along the last dim."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: ProcessGroup | None) -> Tensor:
        ctx.group = group
        return _whole(x, group)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _part(grad, ctx.group), None


def _shard(whole: Tensor, dim: int, group: ProcessGroup | None) -> Tensor:
    """Return this rank's part of a tensor, in memory of its own."""
    size = dist.get_world_size(group)
    if whole.shape[dim] % size:
        raise ValueError(f"{whole.shape[dim]} cannot be cut into {size} equal parts.")
    return whole.chunk(size, dim)[dist.get_rank(group)].clone()


def _first_weight(shape: tuple[int, int], dim: int, seed: int, group: ProcessGroup | None) -> Tensor:
    """Return this rank's part of the matrix that all ranks draw alike."""
    whole = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    return _shard((2 * whole - 1) / math.sqrt(shape[1]), dim, group)


def _check(layer: "ColumnParallelLinear | RowParallelLinear", weight: Tensor, bias: Tensor | None) -> None:
    """Refuse a weight or a bias that this layer cannot have."""
    if tuple(weight.shape) != layer.whole_shape:
        raise ValueError(f"The weight must be {layer.whole_shape}, not {tuple(weight.shape)}.")
    if (bias is None) != (layer.bias is None):
        raise ValueError("A bias must be given if, and only if, the layer has one.")
    if bias is not None and tuple(bias.shape) != layer.whole_shape[:1]:
        raise ValueError(f"The bias must be {layer.whole_shape[:1]}, not {tuple(bias.shape)}.")


### END SOLUTION


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
        ### BEGIN SOLUTION
        self.whole_shape, self.group, self.gather_output = (d_out, d_in), group, gather_output
        self.weight = nn.Parameter(_first_weight(self.whole_shape, 0, seed, group))
        self.bias = nn.Parameter(torch.zeros(len(self.weight))) if bias else None
        ### END SOLUTION

    def load_full(self, weight: Tensor, bias: Tensor | None = None) -> None:
        """Copy this rank's part of the whole weight (d_out, d_in) and bias (d_out) into the parameters.

        The parameters stay the same objects, with memory of their own.
        Raises: ValueError if a shape is another, or if a bias is given to a layer without one, or not given to one with it;
        the layer then stays as it was.
        """
        ### BEGIN SOLUTION
        _check(self, weight, bias)
        with torch.no_grad():
            self.weight.copy_(_shard(weight, 0, self.group))
            if self.bias is not None and bias is not None:
                self.bias.copy_(_shard(bias, 0, self.group))
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        """Return y, or this rank's part of it, as the class says."""
        ### BEGIN SOLUTION
        y = functional.linear(_Copy.apply(x, self.group), self.weight, self.bias)
        out: Tensor = _Gather.apply(y, self.group) if self.gather_output else y
        return out
        ### END SOLUTION


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
        ### BEGIN SOLUTION
        self.whole_shape, self.group, self.input_is_parallel = (d_out, d_in), group, input_is_parallel
        self.weight = nn.Parameter(_first_weight(self.whole_shape, 1, seed, group))
        self.bias = nn.Parameter(torch.zeros(d_out)) if bias else None
        ### END SOLUTION

    def load_full(self, weight: Tensor, bias: Tensor | None = None) -> None:
        """Copy this rank's part of the whole weight, and the whole bias, as ColumnParallelLinear.load_full does."""
        ### BEGIN SOLUTION
        _check(self, weight, bias)
        with torch.no_grad():
            self.weight.copy_(_shard(weight, 1, self.group))
            if self.bias is not None and bias is not None:
                self.bias.copy_(bias)
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        """Return y, as the class says."""
        ### BEGIN SOLUTION
        part = x if self.input_is_parallel else _Scatter.apply(x, self.group)
        y: Tensor = _Reduce.apply(functional.linear(part, self.weight), self.group)
        return y if self.bias is None else y + self.bias
        ### END SOLUTION


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
        ### BEGIN SOLUTION
        self.up = ColumnParallelLinear(d, d_ff, seed=seed, group=group)
        self.down = RowParallelLinear(d_ff, d, seed=seed + 1, group=group)
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        """Return down(gelu(up(x)))."""
        ### BEGIN SOLUTION
        hidden = functional.gelu(self.up(x))
        y: Tensor = self.down(hidden)
        return y
        ### END SOLUTION
