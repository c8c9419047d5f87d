"""Cutting a tensor into one piece per rank, and putting the pieces together again."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

Mode = Literal["chunk", "balanced"]


def shard_sizes(n: int, world: int, mode: Mode = "chunk") -> list[int]:
    """Return how many of `n` entries each of `world` ranks gets, in rank order; a rank may get none.

    chunk: every rank gets ceil(n / world) while there are as many left, one rank gets the rest, and those after it nothing
    balanced: no two ranks differ by more than one, and those with one more come first

    Raises: ValueError for n < 0, world < 1 or another mode.
    Source: PyTorch documentation, torch.chunk and torch.tensor_split, https://docs.pytorch.org/docs/stable/torch.html
    """
    ### BEGIN SOLUTION
    if n < 0 or world < 1:
        raise ValueError(f"n must not be negative and world must be at least 1, not {n} and {world}.")
    if mode == "chunk":
        length = -(-n // world)
        return [max(0, min(length, n - rank * length)) for rank in range(world)]
    if mode == "balanced":
        return [n // world + (rank < n % world) for rank in range(world)]
    raise ValueError(f"mode must be 'chunk' or 'balanced', not {mode!r}.")
    ### END SOLUTION


def shard(x: Tensor, dim: int, rank: int, world: int, mode: Mode = "chunk") -> Tensor:
    """Return rank `rank`'s piece of x along dimension `dim`, of `shard_sizes(x.shape[dim], world, mode)[rank]` entries.

    Shapes: x of any number of dimensions but none, and of any strides; dim may be negative. A rank that gets no entries gets an
        empty tensor, all other dimensions as in x.

    The piece has x's dtype, is contiguous, and is a plain tensor without a graph, even if x is an `nn.Parameter`. It shares no
    memory with x, and nothing leads from it to x: who drops x frees it. x stays as it was.

    Raises: ValueError for a rank outside 0 to world - 1, and what `shard_sizes` raises.
    """
    ### BEGIN SOLUTION
    sizes = shard_sizes(x.shape[dim], world, mode)
    if not 0 <= rank < world:
        raise ValueError(f"rank must be from 0 to {world - 1}, not {rank}.")
    return x.detach().narrow(dim, sum(sizes[:rank]), sizes[rank]).clone(memory_format=torch.contiguous_format)
    ### END SOLUTION


def unshard(shards: Sequence[Tensor], dim: int) -> Tensor:
    """Return the tensor whose pieces along `dim` are `shards`, in rank order.

    Some pieces may be empty, and there may be a single one. The result shares no memory with any piece, and they stay as they were.
    """
    ### BEGIN SOLUTION
    return torch.cat(list(shards), dim=dim)
    ### END SOLUTION
