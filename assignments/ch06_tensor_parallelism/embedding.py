"""An embedding whose vocabulary is cut over the ranks of a group."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.nn import functional


def pad_vocab(vocab_size: int, multiple: int, tp: int) -> int:
    """Return the smallest multiple of `multiple * tp` that is not below vocab_size.

    Each of `tp` ranks then holds a multiple of `multiple` rows: 50257 becomes 50688 for a multiple of 128 on 4 ranks.

    Raises: ValueError if vocab_size, multiple or tp is below 1.
    Source: Shoeybi et al. 2019, Megatron-LM: Training Multi-Billion Parameter Language Models Using Model Parallelism, arXiv:1909.08053, sections 3 and 5.1
    """
    # TODO(vocab_embedding): write this part, and delete the line below.
    raise NotImplementedError("TODO(vocab_embedding)")


def vocab_range(vocab_size: int, rank: int, tp: int) -> tuple[int, int]:
    """Return the first token of rank `rank` of `tp`, and the one after its last: the bounds of a Python range.

    Ranks hold equally many tokens, in order.

    Raises: ValueError if tp is below 1 or does not divide vocab_size, or if rank is not in 0, ..., tp - 1.
    """
    # TODO(vocab_embedding): write this part, and delete the line below.
    raise NotImplementedError("TODO(vocab_embedding)")


class VocabParallelEmbedding(nn.Module):
    """nn.Embedding with the rows of the table cut over the N ranks of `group` (None: all ranks).

    Parameter: `weight` (vocab_size / N, d), varying: the rows of this rank's tokens. Its first values are up to you.
    A rank's lookup is partial: rows of zeros for tokens of other ranks. The sum is the result.

    Shapes: tokens of any shape, int64, invariant; the result is tokens.shape + (d,), invariant. tokens stay as they were.
    Gradients: weight.grad is this rank's part of the table's gradient; a row whose token does not occur has zeros.
    Communicates: one all-reduce of as many elements as the result has, forward; nothing backward. The constructor and
        load_full communicate nothing.
    Raises: ValueError in the constructor if N does not divide vocab_size; in forward, on every rank and before anything is
        communicated, if a token is not in 0, ..., vocab_size - 1.
    """

    weight: nn.Parameter

    def __init__(self, vocab_size: int, d: int, *, group: ProcessGroup | None = None) -> None:
        super().__init__()
        # TODO(vocab_embedding): write this part, and delete the line below.
        raise NotImplementedError("TODO(vocab_embedding)")

    def load_full(self, weight: Tensor) -> None:
        """Copy this rank's rows of the whole table (vocab_size, d) into the parameter, which stays the same object.

        Raises: ValueError if the shape is another.
        """
        # TODO(vocab_embedding): write this part, and delete the line below.
        raise NotImplementedError("TODO(vocab_embedding)")

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the rows of these tokens."""
        # TODO(vocab_embedding): write this part, and delete the line below.
        raise NotImplementedError("TODO(vocab_embedding)")
