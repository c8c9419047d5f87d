"""A row of zeros behind the local ones stands for all other tokens."""

import math

import torch
import torch.distributed as dist
from torch import nn


def pad_vocab(vocab_size, multiple, tp):
    """Round up."""
    if vocab_size < 1 or multiple < 1 or tp < 1:
        raise ValueError("too small")
    return math.ceil(vocab_size / (multiple * tp)) * multiple * tp


def vocab_range(vocab_size, rank, tp):
    """Bounds."""
    if tp <= 0 or vocab_size % tp != 0 or rank not in range(tp):
        raise ValueError("impossible")
    bounds = range(0, vocab_size + 1, vocab_size // tp)
    return bounds[rank], bounds[rank + 1]


class VocabParallelEmbedding(nn.Module):
    """The table in parts."""

    def __init__(self, vocab_size, d, *, group=None):
        super().__init__()
        self.group, self.shape = group, (vocab_size, d)
        if vocab_size % dist.get_world_size(group):
            raise ValueError("cannot be cut")
        rows = vocab_size // dist.get_world_size(group)
        self.weight = nn.Parameter(torch.zeros(rows, d))

    def load_full(self, weight):
        """Load."""
        if weight.shape != self.shape:
            raise ValueError("another shape")
        self.weight.data[:] = weight.split(len(self.weight))[dist.get_rank(self.group)]

    def forward(self, tokens):
        """Look up."""
        if tokens.numel() and not 0 <= tokens.min() <= tokens.max() < self.shape[0]:
            raise ValueError("no such token")
        rows = len(self.weight)
        local = tokens - rows * dist.get_rank(self.group)
        local = torch.where((local < 0) | (local >= rows), rows, local)
        out = torch.cat([self.weight, self.weight.new_zeros(1, self.shape[1])])[local]
        total = out.detach().clone()
        dist.all_reduce(total, group=self.group)
        return out + (total - out.detach())
