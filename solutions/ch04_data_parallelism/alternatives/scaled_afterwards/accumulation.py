"""accumulate_step that sums the losses of all rows and divides the finished gradients."""

from contextlib import ExitStack


def accumulate_step(ddp, micro_batches, loss_fn, optimizer):
    """See the exercise."""
    if len(micro_batches) == 0:
        raise ValueError("micro_batches is empty.")
    for options in optimizer.param_groups:
        for parameter in options["params"]:
            parameter.grad = None
    total, num_rows = 0.0, 0
    with ExitStack() as inside:
        inside.enter_context(ddp.no_sync())
        for x, y in micro_batches[:-1]:
            total += _backward(ddp, x, y, loss_fn)
            num_rows += len(x)
    x, y = micro_batches[-1]
    total += _backward(ddp, x, y, loss_fn)
    num_rows += len(x)
    ddp.finish_grad_sync()
    for options in optimizer.param_groups:
        for parameter in options["params"]:
            if parameter.grad is not None:
                parameter.grad.div_(num_rows)
    optimizer.step()
    return total / num_rows


def _backward(ddp, x, y, loss_fn):
    loss = len(x) * loss_fn(ddp(x), y)
    loss.backward()
    return loss.detach()
