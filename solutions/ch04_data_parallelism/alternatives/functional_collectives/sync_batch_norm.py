"""A subclass of nn.BatchNorm1d; torch's functional all-reduce knows its own gradient."""

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed import _functional_collectives as collectives


class SyncBatchNorm1d(nn.BatchNorm1d):
    """Batch normalisation over the rows of all ranks."""

    def __init__(self, num_features, *, eps=1e-5, momentum=0.1, group=None):
        super().__init__(num_features, eps=eps, momentum=momentum)
        self.group = group

    def forward(self, x):
        """Return x normalised."""
        if x.dim() not in {2, 3} or x.shape[1] != self.num_features:
            raise ValueError("The layer takes (B, C) or (B, C, L).")
        if not self.training:
            return super().forward(x)
        by_channel = x.movedim(1, -1)
        flat = by_channel.reshape(-1, self.num_features)
        packed = torch.cat([flat.new_full((1,), len(flat)), flat.sum(0)])
        packed = collectives.all_reduce(packed, "sum", self.group or dist.group.WORLD)
        count = packed[0].item()
        if count < 2:
            raise ValueError("A variance needs two rows.")
        deviation = flat - packed[1:] / count
        squares = collectives.all_reduce(deviation.pow(2).sum(0), "sum", self.group or dist.group.WORLD)
        with torch.no_grad():
            keep = 1 - self.momentum
            self.running_mean.copy_(keep * self.running_mean + self.momentum * packed[1:] / count)
            self.running_var.copy_(keep * self.running_var + self.momentum * squares / (count - 1))
            self.num_batches_tracked.add_(1)
        out = deviation / torch.sqrt(squares / count + self.eps) * self.weight + self.bias
        return out.reshape(by_channel.shape).movedim(-1, 1)
