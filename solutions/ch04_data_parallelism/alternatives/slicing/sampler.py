"""The indices of a rank, worked out one by one instead of by slicing a list that was filled up."""

import torch


def shard_indices(n, world, rank, *, shuffle=True, seed=0, epoch=0, drop_last=False):
    """Return the indices that `rank` of `world` ranks reads in this epoch."""
    if rank not in range(world):
        raise ValueError(f"there is no rank {rank} among {world}")
    rounds = n // world if drop_last else (n + world - 1) // world
    places = [(rank + turn * world) % n for turn in range(rounds)]
    if not shuffle:
        return places
    generator = torch.Generator()
    generator.manual_seed(seed + epoch)
    order = torch.randperm(n, generator=generator)
    return [int(order[place]) for place in places]
