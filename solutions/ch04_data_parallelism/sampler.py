"""Which examples each rank reads in an epoch.

Every rank works out the whole epoch's order by itself and takes its own part, so that nothing need be communicated: what
must be equal on all ranks is the seed.
"""

import torch


def shard_indices(
    n: int, world: int, rank: int, *, shuffle: bool = True, seed: int = 0, epoch: int = 0, drop_last: bool = False
) -> list[int]:
    """Return the indices, out of 0 to n - 1, that `rank` of `world` ranks reads in this epoch, in its order.

    1. The order of the epoch, the same for all ranks: with `shuffle`, torch.randperm(n) drawn from a torch.Generator of
       its own that is seeded with seed + epoch; without, 0 to n - 1.
    2. All ranks read equally many. With `drop_last` the end of the order is dropped until its length is a multiple of
       `world`; without, the order is repeated from its beginning, as often as it takes, until it is.
    3. The rank reads every world-th entry, from entry `rank` on.

    With n = 7 and world = 2, not shuffled: [0, 2, 4, 6] and [1, 3, 5, 0], or [0, 2, 4] and [1, 3, 5] with drop_last. For
    n = 0, and with drop_last for n < world, the result is empty. torch's global random numbers stay untouched.

    Raises: ValueError unless 0 <= rank < world.
    Source: PyTorch documentation, torch.utils.data.distributed.DistributedSampler, https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.distributed.DistributedSampler
    """
    ### BEGIN SOLUTION
    if not 0 <= rank < world:
        raise ValueError(f"rank must be in 0 to {world - 1}, not {rank}.")
    generator = torch.Generator().manual_seed(seed + epoch)
    order = torch.randperm(n, generator=generator).tolist() if shuffle else list(range(n))
    if n % world:
        total = n // world * world if drop_last else -(-n // world) * world
        order = (order * -(-total // n))[:total]
    return order[rank::world]
    ### END SOLUTION
