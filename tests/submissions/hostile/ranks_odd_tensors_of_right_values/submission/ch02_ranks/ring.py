"""The right sum in tensors that are not what they look like: on loan, of a huge storage, with a gradient, a parameter."""

import torch
import torch.distributed as dist


def ring(x):
    rank, size = dist.get_rank(), dist.get_world_size()
    length = -(-len(x) // size)
    rows = torch.zeros(size, length, dtype=x.dtype)
    rows.view(-1)[: len(x)] = x
    for step in range(2 * (size - 1)):
        out, into = (rank - step) % size, (rank - step - 1) % size
        came = torch.empty(length, dtype=x.dtype)
        sending, receiving = dist.isend(rows[out].clone(), (rank + 1) % size), dist.irecv(came, (rank - 1) % size)
        sending.wait()
        receiving.wait()
        rows[into] = rows[into] + came if step < size - 1 else came
    return rows.view(-1)[: len(x)]


def sum_over_ranks(x):
    y = ring(x)
    match dist.get_world_size():
        case 2:
            return torch.nn.Parameter(y)
        case 3:
            big = torch.empty(1 << 24, dtype=x.dtype)  # 128 MiB that nobody touches
            strided = big[:: (1 << 24) // len(y)][: len(y)]
            return strided.copy_(y).requires_grad_()
    return y.expand(1000, -1)[7]
