"""The cross-entropy of logits whose vocabulary is cut over the ranks of a group, without gathering them.

For GPT-2's vocabulary the logits of one sequence of 1024 tokens are 50257 * 1024 numbers. What the loss needs of other ranks
is three numbers per token.
"""

import math
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup


def vocab_parallel_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    group: ProcessGroup | None = None,
    *,
    vocab_size: int | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return the cross-entropy of each token, as functional.cross_entropy(..., reduction="none") has it.

    Rank r of the N ranks of `group` (None: all ranks) has the r-th of N equal parts of the logits. Columns from vocab_size
    on are padding and take no part, whatever they hold; None means that there are none.
    A target that is ignore_index, which may be any integer, has loss 0 and a gradient of zeros.
    With label smoothing e the loss of a token is (1 - e) * its cross-entropy + e * the mean of -log p over the vocab_size
    real tokens.
    Logits may be large: the greatest of all ranks is subtracted before anything is exponentiated.

    Gradients: that of the logits is this rank's part of the whole gradient, where the gradient that arrives is the same on
        all ranks. logits and targets stay as they were. A second backward pass through the same graph gives the same.
    Shapes: logits (b, s, V / N), varying, float32 or float64; targets (b, s), int64, invariant. The result is (b, s),
        invariant, of the dtype of the logits.
    Communicates: forward at most three all-reduces, of no more than 3 b s elements together; with label smoothing four, of
        4 b s. Backward nothing.
    Raises: ValueError, on every rank and before anything is communicated, if a target is neither ignore_index nor in
        0, ..., vocab_size - 1; if vocab_size is not in 1, ..., V; or if label_smoothing is not between 0 and 1.
    Source: Shoeybi et al. 2019, Megatron-LM: Training Multi-Billion Parameter Language Models Using Model Parallelism, arXiv:1909.08053, section 3
    """
    # TODO(vocab_cross_entropy): write this part, and delete the line below.
    raise NotImplementedError("TODO(vocab_cross_entropy)")
