"""Batch normalisation whose batch is that of all ranks.

With 2 rows per rank, statistics of 2 rows are noise: the model that 64 ranks train is not the model that one process would
train on 128 rows. All other layers treat rows one by one and do not notice how a batch is split; this one does.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import ProcessGroup

### BEGIN SOLUTION


class _SumOverGroup(torch.autograd.Function):
    """The sum of x over the group. Every rank's loss depends on every rank's x, so gradients are summed as well."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: ProcessGroup | None) -> Tensor:
        ctx.group = group
        total = x.clone()
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        total = grad.contiguous().clone()
        dist.all_reduce(total, group=ctx.group)
        return total, None


### END SOLUTION


class SyncBatchNorm1d(nn.Module):
    """`nn.BatchNorm1d` over the rows of all ranks of `group` (None: all ranks), in forward and backward.

    Parameters `weight` (ones) and `bias` (zeros) and buffers `running_mean` (zeros), `running_var` (ones) and
    `num_batches_tracked` (int64, 0) are named as in nn.BatchNorm1d, so state dicts fit both ways.

    Statistics are per channel, over the n rows (with (B, C, L): rows and positions) of all ranks together. In training,

        mean = sum(x) / n        var = sum((x - mean)^2) / n        y = (x - mean) / sqrt(var + eps) * weight + bias
        running_mean = (1 - momentum) * running_mean + momentum * mean
        running_var = (1 - momentum) * running_var + momentum * var * n / (n - 1)

    and num_batches_tracked grows by 1, on all ranks alike. Deviations are taken from the mean before they are squared:
    E[x^2] - E[x]^2 would lose all digits where the mean is much larger than the deviation. After eval(), the running
    statistics take the place of mean and var, nothing is updated and nothing communicated.

    Backward: with the sum of all ranks' losses as the loss, x.grad is its gradient, also through mean and var. weight.grad
    and bias.grad come from this rank's rows alone; like all other gradients, DDP reduces them.

    Shapes: x is (B, C) or (B, C, L) with C = num_features; B and L may differ from rank to rank, and B may be 0: such a
        rank takes part all the same. The result has x's shape. x stays as it was.
    dtype: x has the dtype of the parameters, float32 or float64; so has the result.
    Communicates: in training, at most two all-reduces forward and two backward, of no more than 2 C + 1 elements together
        in each direction; nothing else.
    Raises: ValueError in forward, in training and after eval() alike, if x has another shape, before anything is
        communicated; in training, on every rank and with the buffers as they were, if n is less than 2.
    Source: Ioffe and Szegedy 2015, Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift, arXiv:1502.03167, section 3.1 and algorithm 1
    """

    weight: nn.Parameter
    bias: nn.Parameter
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(
        self, num_features: int, *, eps: float = 1e-5, momentum: float = 0.1, group: ProcessGroup | None = None
    ) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        self.num_features, self.eps, self.momentum, self.group = num_features, eps, momentum, group
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))
        self.register_buffer("num_batches_tracked", torch.tensor(0))
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        """Return x normalised, as the class says."""
        ### BEGIN SOLUTION
        if x.dim() not in (2, 3) or x.shape[1] != self.num_features:
            raise ValueError(
                f"x must be (B, {self.num_features}) or (B, {self.num_features}, L), not {tuple(x.shape)}."
            )
        rows = x if x.dim() == 2 else x.transpose(1, 2).flatten(0, 1)
        mean, var = self._statistics(rows) if self.training else (self.running_mean, self.running_var)
        out = (rows - mean) * (var + self.eps).rsqrt() * self.weight + self.bias
        return out if x.dim() == 2 else out.unflatten(0, (x.shape[0], x.shape[2])).transpose(1, 2)
        ### END SOLUTION

    ### BEGIN SOLUTION
    def _statistics(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance of each channel over the rows of all ranks, and update the running statistics."""
        # The count travels with the sums, so that two all-reduces are enough.
        sums = _SumOverGroup.apply(torch.cat([rows.sum(0), rows.new_tensor([len(rows)])]), self.group)
        total, count = sums[:-1], sums[-1].detach()
        if count < 2:
            raise ValueError(f"Training needs at least 2 rows on all ranks together, not {int(count)}.")
        mean = total / count
        var = _SumOverGroup.apply((rows - mean).square().sum(0), self.group) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var * count / (count - 1), self.momentum)
            self.num_batches_tracked += 1
        return mean, var

    ### END SOLUTION
