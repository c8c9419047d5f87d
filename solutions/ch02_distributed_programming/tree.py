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
### BEGIN SOLUTION


def _root_in_group(root: int, group: ProcessGroup | None) -> int:
    return dist.get_group_rank(group or dist.group.WORLD, root)


def _binomial_tree(root: int, num_ranks: int) -> list[tuple[int, int]]:
    """Return (parent, child) of every message of a broadcast from `root`, in group ranks, round by round."""
    edges: list[tuple[int, int]] = []
    num_reached = 1
    while num_reached < num_ranks:
        parents = range(root, root + min(num_reached, num_ranks - num_reached))
        edges += [(parent % num_ranks, (parent + num_reached) % num_ranks) for parent in parents]
        num_reached *= 2
    return edges


### END SOLUTION


def tree_broadcast(x: Tensor, src: int, group: ProcessGroup | None = None) -> Tensor:
    """Return the x of global rank `src` on every rank.

    Shapes: x has any shape and any strides; shape and dtype are the same on every rank, and only the values on `src`
        matter. The result has x's shape and dtype and is a new tensor, on `src` too; x stays as it was.
    Communicates: N - 1 messages of x in its dtype for N ranks, N being any number and not only a power of two. Every rank but
        `src` receives x once, and no rank sends more than ceil(log2 N) messages. With at most one message sent and one
        received per rank and round, all is done after ceil(log2 N) rounds.
    Source: Chan, Heimlich, Purkayastha and van de Geijn 2007, Collective communication: theory, practice, and experience, doi:10.1002/cpe.1206 (minimum spanning tree algorithms)
    """
    ### BEGIN SOLUTION
    rank = dist.get_rank(group)
    received = x.clone(memory_format=torch.contiguous_format)
    for parent, child in _binomial_tree(_root_in_group(src, group), dist.get_world_size(group)):
        if rank == parent:
            dist.send(received, group_dst=child, group=group)
        elif rank == child:
            dist.recv(received, group_src=parent, group=group)
    return received
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    if op not in REDUCE_OPS:
        raise ValueError(f"op must be one of {sorted(REDUCE_OPS)}, not {op!r}.")
    rank = dist.get_rank(group)
    partial = x.clone(memory_format=torch.contiguous_format)
    incoming = torch.empty_like(partial)
    # The broadcast's tree, run backwards: the leaves send first.
    for parent, child in reversed(_binomial_tree(_root_in_group(dst, group), dist.get_world_size(group))):
        if rank == child:
            dist.send(partial, group_dst=parent, group=group)
            return None
        if rank == parent:
            dist.recv(incoming, group_src=child, group=group)
            partial = REDUCE_OPS[op](partial, incoming)
    return partial
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    rank, root = dist.get_rank(group), _root_in_group(src, group)
    if rank != root:
        received = torch.empty_like(like, memory_format=torch.contiguous_format)
        dist.recv(received, group_src=root, group=group)
        return received
    for peer, chunk in enumerate(chunks):
        if peer != root:
            dist.send(chunk.contiguous(), group_dst=peer, group=group)
    return chunks[root].clone(memory_format=torch.contiguous_format)
    ### END SOLUTION


def p2p_gather(x: Tensor, dst: int, group: ProcessGroup | None = None) -> list[Tensor] | None:
    """Return on global rank `dst` the list of every rank's x, in the order of the group's ranks; None elsewhere.

    Shapes: x has any shape and any strides; shape and dtype are the same on every rank. Each tensor of the list has x's
        shape and dtype and is new, the one of `dst` itself too; x stays as it was.
    Communicates: N - 1 messages of x's size and dtype, each straight from its owner to `dst`.
    """
    ### BEGIN SOLUTION
    rank, root = dist.get_rank(group), _root_in_group(dst, group)
    if rank != root:
        dist.send(x.contiguous(), group_dst=root, group=group)
        return None
    gathered = [x.clone(memory_format=torch.contiguous_format) for _ in range(dist.get_world_size(group))]
    for peer, received in enumerate(gathered):
        if peer != root:
            dist.recv(received, group_src=peer, group=group)
    return gathered
    ### END SOLUTION
