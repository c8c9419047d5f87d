"""The reference test that every way of launching ranks runs: what one rank does once its process group is up.

It stands in for a graded test of usual size and plays the part of the student's file in our own launches.
"""

import torch
import torch.distributed as dist
from torch import Tensor, nn

MEGABYTE_OF_FLOATS = 1_000_000 // 4
NUM_LARGE_ALL_REDUCES = 3


def reference_work() -> Tensor:
    """Return the first layer's gradient of a small MLP, averaged over all ranks, after three all-reduces of 1 MB.

    Communicates: three all-reduces of 1 MB and one all-reduce for each of the four parameters.
    """
    for _ in range(NUM_LARGE_ALL_REDUCES):
        dist.all_reduce(torch.ones(MEGABYTE_OF_FLOATS))
    torch.manual_seed(0)  # the same weights on every rank, other data
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    torch.manual_seed(1 + dist.get_rank())
    model(torch.randn(32, 64)).square().mean().backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    for gradient in gradients:
        dist.all_reduce(gradient)
        gradient.div_(dist.get_world_size())
    return gradients[0]
