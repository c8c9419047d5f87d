"""Gradient accumulation that scales the finished gradients instead of the losses."""

from contextlib import ExitStack

import torch


def accumulate_step(ddp, micro_batches, loss_fn, optimizer):
    """Train one step on all of this rank's micro-batches; return the mean loss over their rows."""
    if len(micro_batches) == 0:
        raise ValueError("no micro-batches")
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = None
    total, rows = torch.tensor(0.0), 0

    def run(x, y):
        nonlocal total, rows
        loss = loss_fn(ddp(x), y) * len(x)
        loss.backward()
        total, rows = total + loss.detach(), rows + len(x)

    *others, last = micro_batches
    with ExitStack() as stack:
        if others:
            stack.enter_context(ddp.no_sync())
        for x, y in others:
            run(x, y)
    run(*last)
    ddp.finish_grad_sync()
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                parameter.grad /= rows
    optimizer.step()
    return total / rows
