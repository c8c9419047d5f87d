"""Counts of the selected positions, in float64."""

import torch
import torch.distributed as dist


def distributed_accuracy(pred, label, valid_mask, group=None):
    """Return the share of right predictions among all valid positions of the group."""
    if pred.shape != label.shape or pred.shape != valid_mask.shape:
        raise ValueError("Three tensors of one shape are due.")
    kept = (pred[valid_mask] == label[valid_mask]).double()
    totals = torch.tensor([kept.sum(), kept.numel()], dtype=torch.float64)
    dist.all_reduce(totals, group=group, async_op=True).wait()
    right, everything = totals
    if not everything:
        raise ValueError("Nothing is valid on any rank.")
    return float(right / everything)
