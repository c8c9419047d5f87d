"""Pass a tensor round a ring: the smallest exchange that can deadlock.

A blocking send waits until its receiver takes the message, however small it is. If every rank of a ring starts with a
send, nobody ever gets to the receive. Every pipeline, every ring all-reduce and every ring attention has this exchange
at its heart.
"""

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup


def ring_shift(x: Tensor, shift: int = 1, group: ProcessGroup | None = None) -> Tensor:
    """Return the tensor of the rank `shift` places before this one in the ring of `group`.

    With N ranks in the group, group rank r gets the x of group rank (r - shift) % N. `shift` is the same on every rank
    and may be any integer: zero, negative, or larger than N. `group=None` is the group of all ranks. Only the ranks of
    `group` call this, and their ranks in the group need not be their global ranks.

    Shapes: x has any shape (0-d and empty too), any dtype and any strides; shape and dtype are the same on every rank. The
        result has x's shape and dtype, is contiguous, and is a new tensor that shares no memory with x; x stays as it was.
    Communicates: with send and receive only, blocking or not: one send of x in its dtype and one receive per rank. Nothing
        at all if `shift` is a multiple of N (so also for N = 1): the result is then a copy of x. If x is empty, it does not
        matter whether empty messages are sent. Every isend and irecv is waited for before the function returns.
    Source: MPI Forum 2021, MPI: A Message-Passing Interface Standard, version 4.0, section 3.10 (send-receive)
    """
    # TODO(ring_shift): write this part, and delete the line below.
    raise NotImplementedError("TODO(ring_shift)")
