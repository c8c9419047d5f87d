"""All-reduce on a ring: every link busy, and no rank ever sends more than twice its tensor.

A tensor of n elements is cut into N chunks, one per rank. In the reduce-scatter N partial sums travel round the ring at
the same time and grow by one rank's share at every hop, until each arrives complete at its owner. In the all-gather the
finished chunks go round once more. Each rank sends 2 (N - 1) chunks, close to 2 n elements however large N is: this is
what makes data parallelism affordable.

Use send and receive only (`dist.send`, `dist.recv`, `dist.isend`, `dist.irecv`, `dist.batch_isend_irecv`), and only
between neighbours: every rank sends to the next rank of the group (r + 1) and receives from the one before (r - 1).
Every isend and irecv is waited for before a function returns.

All ranks do so at the same time. Count in rounds, where in one round a rank sends one message and receives one: M
messages per rank take M rounds if every rank starts to send before it waits for what it receives, and 2 M rounds are
the most that is allowed. If each rank of the ring waits for the rank before it, they take N * M.

`group=None` is the group of all ranks. Only the ranks of `group` call these functions; all ranks below are ranks in the
group. `op` is "sum", "avg" (the sum, divided by N at the end) or "max".
"""

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup

### BEGIN SOLUTION
from torch.nn import functional

COMBINE = {"sum": torch.add, "avg": torch.add, "max": torch.maximum}


def _pass_on(outgoing: Tensor, group: ProcessGroup | None) -> Tensor:
    """Send `outgoing` to the next rank and return what the previous rank sent."""
    rank, num_ranks = dist.get_rank(group), dist.get_world_size(group)
    incoming = torch.empty_like(outgoing)
    # In one batch, which NCCL needs: there single messages wait for each other, and every rank would stay in its send.
    exchange = [
        dist.P2POp(dist.isend, outgoing, group_peer=(rank + 1) % num_ranks, group=group),
        dist.P2POp(dist.irecv, incoming, group_peer=(rank - 1) % num_ranks, group=group),
    ]
    for request in dist.batch_isend_irecv(exchange):
        request.wait()
    return incoming


def _equal_chunks(x: Tensor, num_chunks: int) -> tuple[Tensor, ...]:
    """Return 1-D x as `num_chunks` contiguous chunks of ceil(n / num_chunks) elements, zeros at the end."""
    length = -(-x.numel() // num_chunks)
    padded = functional.pad(x, (0, num_chunks * length - x.numel()))
    return padded.contiguous().view(num_chunks, length).unbind()


### END SOLUTION


def ring_reduce_scatter(x: Tensor, group: ProcessGroup | None = None, *, op: str = "sum") -> Tensor:
    """Return chunk r of the elementwise reduction of x over the group, on group rank r.

    With c = ceil(n / N), chunk r is elements r * c to (r + 1) * c of the n that exist, so the last chunks can be short
    or empty. Reduction order: chunk r is summed over the ranks r + 1, r + 2, ..., r (mod N), in this order, as
    ((x of r + 1) + (x of r + 2)) + ...; this makes the result the same to the last bit in every run.

    Shapes: x is 1-D with any n, also 0 or fewer than N, and any stride; n and the floating-point dtype are the same on
        every rank. The result is 1-D, has x's dtype and is a new tensor; x stays as it was.
    Communicates: N - 1 sends and N - 1 receives per rank, each of c elements of x's dtype: pad a short chunk. For n = 0
        it does not matter whether empty messages are sent. N = 1 sends nothing.
    Raises: ValueError on every rank, before any message, if `op` is none of the three.
    Source: Patarasuk and Yuan 2009, Bandwidth optimal all-reduce algorithms, doi:10.1016/j.jpdc.2008.09.002, section 3
    """
    ### BEGIN SOLUTION
    if op not in COMBINE:
        raise ValueError(f"op must be one of {sorted(COMBINE)}, not {op!r}.")
    rank, num_ranks = dist.get_rank(group), dist.get_world_size(group)
    chunks = _equal_chunks(x, num_ranks)
    # At step s this rank receives the partial sum of chunk r - s - 1, so it starts by sending its share of chunk r - 1.
    partial = chunks[rank - 1]
    for step in range(1, num_ranks):
        partial = COMBINE[op](_pass_on(partial, group), chunks[(rank - step - 1) % num_ranks])
    if op == "avg":
        partial = partial / num_ranks
    start = rank * partial.numel()
    return partial[: max(0, x.numel() - start)].clone()
    ### END SOLUTION


def ring_all_gather(x: Tensor, group: ProcessGroup | None = None) -> Tensor:
    """Return the x of all ranks, one after another in the order of the group's ranks, on every rank.

    Shapes: x is 1-D with any n, also 0, and any stride; n and the dtype are the same on every rank. The result has
        N * n elements and x's dtype, and is a new tensor; x stays as it was.
    Communicates: N - 1 sends and N - 1 receives per rank, each of n elements of x's dtype (n = 0: empty messages or
        none). N = 1 sends nothing.
    """
    ### BEGIN SOLUTION
    rank, num_ranks = dist.get_rank(group), dist.get_world_size(group)
    gathered = [x.contiguous()] * num_ranks
    for step in range(1, num_ranks):
        gathered[(rank - step) % num_ranks] = _pass_on(gathered[(rank - step + 1) % num_ranks], group)
    return torch.cat(gathered)
    ### END SOLUTION


def ring_all_reduce(x: Tensor, group: ProcessGroup | None = None, *, op: str = "sum") -> Tensor:
    """Return the elementwise reduction of x over the group, on every rank: a reduce-scatter, then an all-gather.

    Every chunk is reduced on one rank, in the order of `ring_reduce_scatter`, and then copied, so all ranks end with
    the same bits.

    Shapes: x has any shape (0-d and empty too) and any strides; shape and floating-point dtype are the same on every
        rank. The result has x's shape and dtype and is a new tensor; x stays as it was. Chunks are cut from x's
        elements in row-major order.
    Communicates: 2 (N - 1) sends and as many receives per rank, each of ceil(n / N) elements of x's dtype for
        n = x.numel() (n = 0: empty messages or none). N = 1 sends nothing.
    Raises: ValueError on every rank, before any message, if `op` is none of the three.
    """
    ### BEGIN SOLUTION
    padded = torch.cat(_equal_chunks(x.flatten(), dist.get_world_size(group)))
    gathered = ring_all_gather(ring_reduce_scatter(padded, group, op=op), group)
    return gathered[: x.numel()].view(x.shape)
    ### END SOLUTION
