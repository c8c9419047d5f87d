"""shard_indices by arithmetic on positions: position p of the padded order is entry p modulo n."""

import torch


def shard_indices(n, world, rank, *, shuffle=True, seed=0, epoch=0, drop_last=False):
    """See the exercise."""
    if rank < 0 or rank >= world:
        raise ValueError(f"There is no rank {rank} among {world}.")
    order = torch.arange(n)
    if shuffle:
        generator = torch.Generator()
        generator.manual_seed(seed + epoch)
        order = torch.randperm(n, generator=generator)
    num_each = n // world if drop_last else (n + world - 1) // world
    return [int(order[(rank + step * world) % n]) for step in range(num_each)]
