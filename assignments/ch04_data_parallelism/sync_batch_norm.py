"""Batch normalisation whose batch is that of all ranks.

With 2 rows per rank, statistics of 2 rows are noise: the model that 64 ranks train is not the model that one process would
train on 128 rows. All other layers treat rows one by one and do not notice how a batch is split; this one does.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import ProcessGroup


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
        # TODO(sync_batch_norm): write this part, and delete the line below.
        raise NotImplementedError("TODO(sync_batch_norm)")

    def forward(self, x: Tensor) -> Tensor:
        """Return x normalised, as the class says."""
        # TODO(sync_batch_norm): write this part, and delete the line below.
        raise NotImplementedError("TODO(sync_batch_norm)")
