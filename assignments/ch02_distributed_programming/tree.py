"""Broadcast, reduce, scatter and gather, built from messages between two ranks.

A root that sends N - 1 messages one after another keeps everybody waiting for N - 1 rounds. In a tree each rank that
has the data helps to spread it, so the number of ranks that have it doubles in every round: 8 ranks need 3 rounds, 1000
ranks need 10. Scatter and gather move a different chunk for every rank; here they stay direct messages.

Use send and receive only (`dist.send`, `dist.recv`, `dist.isend`, `dist.irecv`, `dist.batch_isend_irecv`), and wait for
every isend and irecv before a function returns. For empty tensors it does not matter whether empty messages are sent.

`group=None` is the group of all ranks. As everywhere in `torch.distributed`, `src` and `dst` are global ranks, also
when `group` is a sub-group; `dist.get_group_rank` translates. Only the ranks of `group` call these functions.
"""

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup

REDUCE_OPS = {"sum": torch.add, "max": torch.maximum}


def tree_broadcast(x: Tensor, src: int, group: ProcessGroup | None = None) -> Tensor:
    """Return the x of global rank `src` on every rank.

    Shapes: x has any shape and any strides; shape and dtype are the same on every rank, and only the values on `src`
        matter. The result has x's shape and dtype and is a new tensor, on `src` too; x stays as it was.
    Communicates: N - 1 messages of x in its dtype for N ranks, N being any number and not only a power of two. Every rank but
        `src` receives x once, and no rank sends more than ceil(log2 N) messages. With at most one message sent and one
        received per rank and round, all is done after ceil(log2 N) rounds.
    Source: Chan, Heimlich, Purkayastha and van de Geijn 2007, Collective communication: theory, practice, and experience, doi:10.1002/cpe.1206 (minimum spanning tree algorithms)
    """
    # TODO(tree_collectives): write this part, and delete the line below.
    raise NotImplementedError("TODO(tree_collectives)")


def tree_reduce(x: Tensor, dst: int, group: ProcessGroup | None = None, *, op: str = "sum") -> Tensor | None:
    """Return the elementwise sum or maximum of x over the group on global rank `dst`, and None on every other rank.

    `op` is "sum" or "max". The order in which the ranks are combined is yours to choose.

    Shapes: x has any shape and any strides; shape and dtype are the same on every rank. The result on `dst` has x's
        shape and dtype and is a new tensor; x stays as it was on every rank, also on `dst`.
    Communicates: N - 1 messages of x's size and dtype. Every rank but `dst` sends once, and no rank receives more than
        ceil(log2 N) messages. With at most one message sent and one received per rank and round, all is done after
        ceil(log2 N) rounds.
    Raises: ValueError on every rank, before any message, if `op` is anything else.
    """
    # TODO(tree_collectives): write this part, and delete the line below.
    raise NotImplementedError("TODO(tree_collectives)")


def p2p_scatter(chunks: list[Tensor] | None, src: int, group: ProcessGroup | None = None, *, like: Tensor) -> Tensor:
    """Return this rank's chunk: group rank i gets a copy of chunks[i] of global rank `src`.

    On `src`, `chunks` holds one tensor per rank of the group, in the order of the group's ranks; on every other rank it
    is None.

    Shapes: chunks may have different shapes and any strides, and one dtype. `like` has the shape and dtype of this
        rank's own chunk, on `src` too; its values are neither read nor written. The result has that shape and dtype and
        is a new tensor, on `src` too; the list and its chunks stay as they were.
    Communicates: N - 1 messages, each straight from `src` to the rank that keeps it and exactly as large as its chunk.
        Nobody receives, or passes on, a chunk that belongs to another rank.
    """
    # TODO(tree_collectives): write this part, and delete the line below.
    raise NotImplementedError("TODO(tree_collectives)")


def p2p_gather(x: Tensor, dst: int, group: ProcessGroup | None = None) -> list[Tensor] | None:
    """Return on global rank `dst` the list of every rank's x, in the order of the group's ranks; None elsewhere.

    Shapes: x has any shape and any strides; shape and dtype are the same on every rank. Each tensor of the list has x's
        shape and dtype and is new, the one of `dst` itself too; x stays as it was.
    Communicates: N - 1 messages of x's size and dtype, each straight from its owner to `dst`.
    """
    # TODO(tree_collectives): write this part, and delete the line below.
    raise NotImplementedError("TODO(tree_collectives)")
