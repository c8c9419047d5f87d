"""What runs on every rank in the tests of sync_batch_norm.py."""

from functools import partial

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from course_env.rank_programs import WriteWatch, attempt, group_among
from course_env.toy_models import LR, MOMENTUM, tensors_of


def sync_batch_norm(student, *, x, dy, values, groups=None, options=None):
    """Take x and the gradient dy of the output through a SyncBatchNorm1d that starts with these parameters and buffers.

    A barrier stands between forward and backward in the record.
    """
    watch = WriteWatch([x, dy])
    norm = student.SyncBatchNorm1d(x.shape[1], group=group_among(groups), **(options or {})).to(x.dtype)
    norm.load_state_dict(values)
    leaf = x.requires_grad_()
    y = norm(leaf)
    dist.barrier()
    y.backward(dy)
    return {
        "y": y.detach(),
        "x_grad": leaf.grad,
        "weight_grad": norm.weight.grad,
        "bias_grad": norm.bias.grad,
        "buffers": dict(norm.named_buffers()),
        "observed": {"written": watch.written()},
    }


def train_with_sync_batch_norm(student, *, values, steps, groups=None):
    """Train a small network with PyTorch's DDP and a SyncBatchNorm1d; a step is [x, y, number of rows on all ranks].

    Gradients are those of the mean over all rows. `at_end` are the parameters and buffers, `y` the output on the last
    step's x after eval().
    """
    group = group_among(groups)
    norm = student.SyncBatchNorm1d(6, group=group)
    module = nn.Sequential(nn.Linear(5, 6), norm, nn.Tanh(), nn.Linear(6, 3)).double()
    module.load_state_dict(values)
    ddp = DistributedDataParallel(module, process_group=group)
    optimizer = torch.optim.SGD(ddp.parameters(), lr=LR, momentum=MOMENTUM)
    for x, y, num_rows in steps:
        optimizer.zero_grad()
        (functional.mse_loss(ddp(x), y, reduction="sum") * dist.get_world_size(group) / num_rows).backward()
        optimizer.step()
    at_end = tensors_of(module)
    return {"at_end": at_end, "y": module.eval()(steps[-1][0]).detach()}


def sync_batch_norm_without_batches(student, *, x, values, repeats):
    """Use a SyncBatchNorm1d after eval(); return what it gave each time and its buffers."""
    norm = student.SyncBatchNorm1d(x.shape[1]).to(x.dtype)
    norm.load_state_dict(values)
    norm.eval()
    ys = [norm(x).detach() for _ in range(repeats)]
    return {"ys": ys, "buffers": dict(norm.named_buffers())}


def fresh_sync_batch_norm(student, *, num_features):
    """Return the state dict of a new SyncBatchNorm1d, and that of an nn.BatchNorm1d that has loaded it."""
    norm = student.SyncBatchNorm1d(num_features)
    other = nn.BatchNorm1d(num_features)
    other.load_state_dict(norm.state_dict())
    trainable = sorted(name for name, parameter in norm.named_parameters() if parameter.requires_grad)
    return {"state": dict(norm.state_dict()), "loaded": dict(other.state_dict()), "trainable": trainable}


def failing_sync_batch_norm(student, *, num_features, x, good=None, training=True):
    """Return the ValueError that a SyncBatchNorm1d raises on x, its buffers afterwards, and what it then gives for `good`."""
    norm = student.SyncBatchNorm1d(num_features).to(x.dtype).train(training)
    error = attempt(partial(norm, x))[1]
    buffers = {name: buffer.clone() for name, buffer in norm.named_buffers()}
    return {"error": error, "buffers": buffers, "y": None if good is None else norm.eval()(good).detach()}
