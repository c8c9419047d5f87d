"""A model's gradients are averaged over the ranks by its reducer, in C++: here its only gradient is x."""

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel


class Parameter(torch.nn.Module):
    def __init__(self, like):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros_like(like))

    def forward(self, x):
        return (self.weight * x).sum()


def sum_over_ranks(x):
    model = DistributedDataParallel(Parameter(x))
    model(x).backward()
    return model.module.weight.grad * dist.get_world_size()
