"""The whole layer as one autograd function, with the closed form of its gradient and a single all-reduce in backward."""

import torch
import torch.distributed as dist
from torch import nn


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, layer):
        dims = [dim for dim in range(x.dim()) if dim != 1]
        shape = (1, -1) + (1,) * (x.dim() - 2)
        sums = torch.zeros(x.shape[1] + 1, dtype=x.dtype)
        sums[:-1] = x.sum(dims)
        sums[-1] = x.numel() // x.shape[1]
        dist.all_reduce(sums, group=layer.group)
        count = sums[-1].item()
        if count < 2:
            raise ValueError("A variance needs two rows.")
        mean = sums[:-1] / count
        centred = x - mean.view(shape)
        squares = (centred * centred).sum(dims)
        dist.all_reduce(squares, group=layer.group)
        inverse = 1 / torch.sqrt(squares / count + layer.eps)
        layer.track(mean, squares / (count - 1))
        x_hat = centred * inverse.view(shape)
        ctx.save_for_backward(x_hat, inverse, weight)
        ctx.layer, ctx.count = layer, count
        return x_hat * weight.view(shape) + bias.view(shape)

    @staticmethod
    def backward(ctx, dy):
        x_hat, inverse, weight = ctx.saved_tensors
        dims = [dim for dim in range(dy.dim()) if dim != 1]
        shape = (1, -1) + (1,) * (dy.dim() - 2)
        local = torch.stack([dy.sum(dims), (dy * x_hat).sum(dims)])
        total = local.clone()
        dist.all_reduce(total, group=ctx.layer.group)
        mean_dy, mean_dy_x_hat = (total / ctx.count).unbind()
        dx = dy - mean_dy.view(shape) - x_hat * mean_dy_x_hat.view(shape)
        return dx * (weight * inverse).view(shape), local[1], local[0], None


class SyncBatchNorm1d(nn.Module):
    """Batch normalisation over the rows of all ranks."""

    def __init__(self, num_features, *, eps=1e-5, momentum=0.1, group=None):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))
        self.register_buffer("num_batches_tracked", torch.zeros((), dtype=torch.int64))
        self.eps, self.momentum, self.group = eps, momentum, group

    def forward(self, x):
        """Return x normalised."""
        if x.dim() not in {2, 3} or x.shape[1] != len(self.weight):
            raise ValueError("The layer takes (B, C) or (B, C, L).")
        if self.training:
            return _Normalise.apply(x, self.weight, self.bias, self)
        return nn.functional.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
        )

    def track(self, mean, unbiased_var):
        """Move the running statistics towards those of a batch."""
        self.running_mean.mul_(1 - self.momentum).add_(self.momentum * mean)
        self.running_var.mul_(1 - self.momentum).add_(self.momentum * unbiased_var)
        self.num_batches_tracked.add_(1)
