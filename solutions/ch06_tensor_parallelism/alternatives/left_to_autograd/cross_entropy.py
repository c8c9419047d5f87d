"""Plain operations and one cast, the sum whose gradient passes through; autograd does the rest."""

import torch
import torch.distributed as dist


class _Sum(torch.autograd.Function):
    """Partial to invariant."""

    @staticmethod
    def forward(ctx, x, group):
        total = x.clone()
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx, grad):
        return grad, None


def vocab_parallel_cross_entropy(
    logits,
    targets,
    group=None,
    *,
    vocab_size=None,
    ignore_index=-100,
    label_smoothing=0.0,
):
    """Cross-entropy by parts."""
    n, r, width = dist.get_world_size(group), dist.get_rank(group), logits.shape[-1]
    if vocab_size is None:
        vocab_size = n * width
    counted = targets.ne(ignore_index)
    outside = (targets.lt(0) | targets.ge(vocab_size)) & counted
    if not 0 < vocab_size <= n * width or label_smoothing < 0 or label_smoothing > 1 or outside.any():
        raise ValueError("These arguments make no sense.")
    columns = torch.arange(r * width, (r + 1) * width)
    width = max(0, min(width, vocab_size - r * width))
    real = logits[..., :width]
    lowest = torch.finfo(logits.dtype).min
    top = (
        torch.cat(
            [
                real.detach(),
                torch.full_like(real.detach()[..., :1], lowest)
                if width
                else logits.new_full((*targets.shape, 1), lowest),
            ],
            -1,
        )
        .max(-1)
        .values
    )
    dist.all_reduce(top, dist.ReduceOp.MAX, group)
    z = real - top[..., None]
    normaliser = _Sum.apply(z.exp().sum(-1), group).log()
    is_target = targets[..., None] == columns[:width]
    loss = normaliser - _Sum.apply((z * is_target).sum(-1), group)
    if label_smoothing > 0:
        mean = normaliser - _Sum.apply(z.sum(-1), group) / vocab_size
        loss = loss * (1 - label_smoothing) + mean * label_smoothing
    return loss * counted
