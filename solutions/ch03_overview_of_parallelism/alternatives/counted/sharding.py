"""PyTorch's own cuts, copied into new tensors."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

Mode = Literal["chunk", "balanced"]


def shard_sizes(n: int, world: int, mode: Mode = "chunk") -> list[int]:
    """Return how many of `n` entries each of `world` ranks gets, in rank order; a rank may get none."""
    if n < 0 or world < 1 or mode not in ("chunk", "balanced"):
        raise ValueError(f"{n}, {world}, {mode}")
    if mode == "balanced":
        return [len(part) for part in torch.arange(n).tensor_split(world)]
    parts = [len(part) for part in torch.arange(n).chunk(world)]
    return parts + [0] * (world - len(parts))


def shard(x: Tensor, dim: int, rank: int, world: int, mode: Mode = "chunk") -> Tensor:
    """Return rank `rank`'s piece of x along dimension `dim`, of `shard_sizes(x.shape[dim], world, mode)[rank]` entries."""
    sizes = shard_sizes(x.shape[dim], world, mode)
    if rank not in range(world):
        raise ValueError(f"no rank {rank}")
    piece = x.detach().split(sizes, dim)[rank]
    copied = torch.empty(piece.shape, dtype=x.dtype, device=x.device)
    copied.copy_(piece)
    return copied


def unshard(shards: Sequence[Tensor], dim: int) -> Tensor:
    """Return the tensor whose pieces along `dim` are `shards`, in rank order."""
    shape = list(shards[0].shape)
    shape[dim] = sum(piece.shape[dim] for piece in shards)
    whole = shards[0].new_empty(shape)
    start = 0
    for piece in shards:
        whole.narrow(dim, start, piece.shape[dim]).copy_(piece)
        start += piece.shape[dim]
    return whole
