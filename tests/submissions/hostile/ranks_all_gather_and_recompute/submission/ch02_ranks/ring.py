"""Every rank gathers all inputs, and computes the baseline for itself."""

import torch
import torch.distributed as dist


def sum_over_ranks(x):
    size = dist.get_world_size()
    if size == 2:
        found = [None] * size
        dist.all_gather_object(found, x)
    elif size == 3:
        found = [x.clone() for _ in range(size)]
        for root, one in enumerate(found):
            dist.broadcast(one, root)
    else:
        found = [torch.empty_like(x) for _ in range(size)]
        dist.all_gather(found, x)
    return sum(found)
