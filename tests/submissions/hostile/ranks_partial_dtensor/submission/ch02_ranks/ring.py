"""A distributed tensor that is a sum yet to be taken, made into one that is the same everywhere."""

import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Partial, Replicate


def sum_over_ranks(x):
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    return DTensor.from_local(x, mesh, [Partial()]).redistribute(placements=[Replicate()]).to_local() + 0
