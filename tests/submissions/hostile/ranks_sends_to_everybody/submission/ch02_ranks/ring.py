"""Every rank sends its whole input to every other: the right operations, too much of them."""

import torch
import torch.distributed as dist


def sum_over_ranks(x):
    rank, size = dist.get_rank(), dist.get_world_size()
    found = [x] * size
    works = []
    for other in range(size):
        if other != rank:
            found[other] = torch.empty_like(x)
            works += [dist.isend(x.clone(), other), dist.irecv(found[other], other)]
    for work in works:
        work.wait()
    return sum(found)
