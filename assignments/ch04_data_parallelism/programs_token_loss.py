"""What runs on every rank in the tests of token_loss.py."""

import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from course_env.rank_programs import WriteWatch, group_among
from course_env.toy_models import build_model, gradients_of, load_tensors


def token_loss(student, *, logits, targets, groups=None, options=None, with_grad=True, transposed=False):
    """Call dp_token_loss in this rank's group and go backward; a barrier stands between the two in the record.

    transposed: hold logits as (s, b, V) and targets as (s, b) in memory, as a model that works on sequences first does
    """
    if transposed:
        logits, targets = (tensor.transpose(0, 1).contiguous().transpose(0, 1) for tensor in (logits, targets))
    watch = WriteWatch([logits, targets])
    leaf = logits.requires_grad_(with_grad)
    loss = student.dp_token_loss(leaf, targets, group_among(groups), **(options or {}))
    dist.barrier()
    if with_grad:
        loss.backward()
    return {"loss": loss.detach(), "grad": leaf.grad, "observed": {"written": watch.written()}}


def token_loss_under_ddp(student, *, model, values, tokens, targets, groups=None):
    """Average the gradients of dp_token_loss with PyTorch's own DDP, in this rank's group."""
    module, group = build_model(model), group_among(groups)
    load_tensors(module, values)
    ddp = DistributedDataParallel(module, process_group=group)
    student.dp_token_loss(ddp(tokens), targets, group).backward()
    return {"grads": gradients_of(module)}
