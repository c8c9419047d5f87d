"""The right sum, but sparse, on no device, of a class of its own, or complex."""

import torch
import torch.distributed as dist


class Own(torch.Tensor):
    """A tensor that says it is a plain one."""

    __class__ = torch.Tensor


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
        case 1:
            return y.to_sparse()
        case 2:
            return y.to("meta")
        case 3:
            return y.as_subclass(Own)
    return y.to(torch.complex128)
