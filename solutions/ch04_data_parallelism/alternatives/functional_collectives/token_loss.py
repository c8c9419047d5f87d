"""Torch's functional collective returns the count, and the share of the tokens that is this rank's weighs its mean."""

import torch
import torch.distributed as dist
from torch.distributed import _functional_collectives as collectives


def dp_token_loss(logits, targets, group=None, *, ignore_index=-100):
    """Return this rank's part of the mean over all valid tokens, times N."""
    group = dist.group.WORLD if group is None else group
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    keep = targets != ignore_index
    mine = keep.sum()
    everybody = collectives.all_reduce(mine.clone(), "sum", group)
    # Of no tokens at all, the sum is 0 and has a graph; 0 times a sum of logits would be nan where one is -inf.
    reduction = "mean" if mine else "sum"
    mean_of_mine = torch.nn.functional.cross_entropy(logits[keep], targets[keep], reduction=reduction)
    return mean_of_mine * mine * group.size() / torch.maximum(everybody, torch.ones_like(everybody))
