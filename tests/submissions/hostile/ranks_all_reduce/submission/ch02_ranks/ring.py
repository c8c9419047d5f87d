"""The library's own."""

import torch.distributed as dist


def sum_over_ranks(x):
    y = x.clone()
    dist.all_reduce(y)
    return y
