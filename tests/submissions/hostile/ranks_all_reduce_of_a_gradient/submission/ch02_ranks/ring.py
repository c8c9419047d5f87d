"""The all-reduce that autograd knows, run backwards: a gradient is summed over the ranks, too."""

import torch
from torch.distributed.nn import functional


def sum_over_ranks(x):
    weight = torch.zeros_like(x, requires_grad=True)
    functional.all_reduce(weight).backward(x)
    return weight.grad
