"""The accuracy of a model over a test set that is spread over ranks.

A sampler that gives every rank equally many examples repeats some of them to fill up. Counted twice, they change the
result; and since only some ranks hold them, the average of the ranks' accuracies is wrong as soon as they are left out.
"""

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup


def distributed_accuracy(pred: Tensor, label: Tensor, valid_mask: Tensor, group: ProcessGroup | None = None) -> float:
    """Return the share of right predictions among all valid positions of all ranks of `group`, on every rank.

    That is (number of valid positions where pred equals label) / (number of valid positions), both counted over all
    ranks (group=None: all ranks of the job), as a Python float. What stands at a position that is not valid counts for
    nothing, and so does a rank that has no valid position.

    Shapes: pred and label, int64, and valid_mask, bool, have one shape, any; it may differ from rank to rank, and may
        be empty. All three stay as they were.
    Communicates: one all-reduce of two 8-byte numbers (int64 or float64: float32 cannot count beyond 2^24).
    Raises: ValueError, before anything is communicated, if the three shapes differ; on every rank, if no rank has a
        valid position.
    Source: PyTorch documentation, torch.utils.data.distributed.DistributedSampler, https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.distributed.DistributedSampler
    """
    ### BEGIN SOLUTION
    if not pred.shape == label.shape == valid_mask.shape:
        shapes = f"{tuple(pred.shape)}, {tuple(label.shape)} and {tuple(valid_mask.shape)}"
        raise ValueError(f"pred, label and valid_mask must have one shape, not {shapes}.")
    counts = torch.stack([((pred == label) & valid_mask).sum(), valid_mask.sum()])
    dist.all_reduce(counts, group=group)
    num_correct, num_valid = counts.tolist()
    if num_valid == 0:
        raise ValueError("No rank has a valid position: there is nothing to take an accuracy of.")
    return num_correct / num_valid
    ### END SOLUTION
