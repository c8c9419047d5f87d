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
    # TODO(ring_all_reduce): write this part, and delete the line below.
    raise NotImplementedError("TODO(ring_all_reduce)")


def ring_all_gather(x: Tensor, group: ProcessGroup | None = None) -> Tensor:
    """Return the x of all ranks, one after another in the order of the group's ranks, on every rank.

    Shapes: x is 1-D with any n, also 0, and any stride; n and the dtype are the same on every rank. The result has
        N * n elements and x's dtype, and is a new tensor; x stays as it was.
    Communicates: N - 1 sends and N - 1 receives per rank, each of n elements of x's dtype (n = 0: empty messages or
        none). N = 1 sends nothing.
    """
    # TODO(ring_all_reduce): write this part, and delete the line below.
    raise NotImplementedError("TODO(ring_all_reduce)")


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
    # TODO(ring_all_reduce): write this part, and delete the line below.
    raise NotImplementedError("TODO(ring_all_reduce)")
