"""The lookup as a product with a one-hot matrix, which is how a compiler may see it."""

import torch
import torch.distributed as dist
from torch import nn


def pad_vocab(vocab_size, multiple, tp):
    """Round up."""
    if any(number < 1 for number in (vocab_size, multiple, tp)):
        raise ValueError("numbers must be positive")
    rest = vocab_size % (multiple * tp)
    return vocab_size if rest == 0 else vocab_size + multiple * tp - rest


def vocab_range(vocab_size, rank, tp):
    """Bounds."""
    if tp < 1:
        raise ValueError("no ranks")
    size, rest = divmod(vocab_size, tp)
    if rest or rank < 0 or rank >= tp:
        raise ValueError("no such range")
    return size * rank, size * rank + size


class _Sum(torch.autograd.Function):
    """Forward a sum, backward nothing."""

    @staticmethod
    def forward(ctx, group, x):
        out = x.clone()
        dist.all_reduce(out, group=group)
        return out

    @staticmethod
    def backward(ctx, grad):
        return None, grad


class VocabParallelEmbedding(nn.Embedding):
    """nn.Embedding of the local rows."""

    def __init__(self, vocab_size, d, *, group=None):
        bounds = vocab_range(vocab_size, dist.get_rank(group), dist.get_world_size(group))
        super().__init__(bounds[1] - bounds[0], d)
        self.bounds, self.vocab_size, self.group = bounds, vocab_size, group

    def load_full(self, weight):
        """Load."""
        if list(weight.shape) != [self.vocab_size, self.embedding_dim]:
            raise ValueError("another table")
        with torch.no_grad():
            self.weight[...] = weight[slice(*self.bounds)]

    def forward(self, tokens):
        """Look up."""
        if ((tokens < 0) + (tokens >= self.vocab_size)).any():
            raise ValueError("unknown tokens")
        one_hot = tokens.unsqueeze(-1) == torch.arange(*self.bounds)
        return _Sum.apply(self.group, one_hot.to(self.weight.dtype) @ self.weight)
