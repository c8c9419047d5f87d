"""What runs on every rank in the tests of cross_entropy.py."""

from functools import partial

import torch.distributed as dist

from course_env.rank_programs import attempt, group_among


def losses(student, *, cases, groups=None):
    """Take the logits of each case to a loss, and its dy back, twice through the same graph.

    A case has logits, targets, dy and options. `logits` and `targets` are the arguments as they are afterwards. A barrier
    stands between forward and backward, and between two cases, in the record.
    """
    group = group_among(groups)
    return {"results": [_there_and_back(student, group, **case) for case in cases]}


def _there_and_back(student, group, *, logits, targets, dy, options):
    leaf = logits.requires_grad_()
    given, labels = leaf * 1, targets.clone()
    loss = student.vocab_parallel_cross_entropy(given, labels, group, **options)
    dist.barrier()
    grads = []
    for more in (True, False):
        leaf.grad = None
        if loss.shape == dy.shape:
            loss.backward(dy, retain_graph=more)
        grads.append(leaf.grad)
    dist.barrier()
    return {"loss": loss.detach(), "grads": grads, "logits": given.detach(), "targets": labels}


def tries(student, *, logits, calls):
    """Call the function with each [targets, options]; return what was raised, and the loss where nothing was."""
    ends = [
        attempt(partial(student.vocab_parallel_cross_entropy, logits, targets, **options)) for targets, options in calls
    ]
    return {"losses": [loss for loss, _ in ends], "errors": [error for _, error in ends]}
