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

### BEGIN SOLUTION


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0917 - what a Function is applied to has no names
        ctx: Any,
        logits: Tensor,
        targets: Tensor,
        group: ProcessGroup | None,
        vocab_size: int,
        ignore_index: int,
        smoothing: float,
    ) -> Tensor:
        first = dist.get_rank(group) * logits.shape[-1]
        real = torch.arange(first, first + logits.shape[-1]) < vocab_size
        masked = logits.masked_fill(~real, -math.inf)
        top = masked.amax(-1)
        dist.all_reduce(top, op=dist.ReduceOp.MAX, group=group)
        shifted = masked - top.unsqueeze(-1)
        exp = shifted.exp()

        counted = targets != ignore_index
        mine = counted & (targets >= first) & (targets < first + logits.shape[-1])
        index = (targets - first).where(mine, 0).unsqueeze(-1)
        parts = [exp.sum(-1), shifted.gather(-1, index).squeeze(-1).where(mine, 0.0)]
        if smoothing:
            parts.append(shifted.where(real, 0.0).sum(-1))
        sums = torch.stack(parts)
        dist.all_reduce(sums, group=group)

        loss = sums[0].log() - sums[1]
        if smoothing:
            loss = (1 - smoothing) * loss + smoothing * (sums[0].log() - sums[2] / vocab_size)
        ctx.save_for_backward(exp / sums[0].unsqueeze(-1), index, mine, counted, real)
        ctx.smoothing, ctx.vocab_size = smoothing, vocab_size
        return loss.where(counted, 0.0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        softmax, index, mine, counted, real = ctx.saved_tensors
        smoothing = ctx.smoothing
        due = (smoothing / ctx.vocab_size) * real.to(softmax.dtype).expand_as(softmax)
        due = due.scatter_add(-1, index, ((1 - smoothing) * mine.to(softmax.dtype)).unsqueeze(-1))
        scale = grad.where(counted, 0.0).unsqueeze(-1)
        return (softmax - due) * scale, None, None, None, None, None


### END SOLUTION


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
    ### BEGIN SOLUTION
    whole = logits.shape[-1] * dist.get_world_size(group)
    vocab_size = whole if vocab_size is None else vocab_size
    if not 1 <= vocab_size <= whole:
        raise ValueError(f"vocab_size must be in 1, ..., {whole}, not {vocab_size}.")
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"label_smoothing must be between 0 and 1, not {label_smoothing}.")
    if bool(((targets != ignore_index) & ((targets < 0) | (targets >= vocab_size))).any()):
        raise ValueError(f"Targets must be in 0, ..., {vocab_size - 1}, or {ignore_index}.")
    loss: Tensor = _CrossEntropy.apply(logits, targets, group, vocab_size, ignore_index, label_smoothing)
    return loss
    ### END SOLUTION
