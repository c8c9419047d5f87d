"""One training step as nn.DataParallel does it: one process, a replica and a thread per device, everything through the first.

The devices are pretended: the replicas are copies on the CPU. What is real is the structure of the step, and the number
of elements that the first device has to gather.
"""

import copy
import threading
from collections.abc import Callable

import torch
from torch import Tensor, nn

### BEGIN SOLUTION


def _run_in_threads(calls: list[Callable[[], Tensor]]) -> list[Tensor]:
    """Return what each call returns, all of them running at once; raise what the first that failed raised."""
    results: list = [None] * len(calls)
    errors: list = [None] * len(calls)

    def run(index: int) -> None:
        try:
            results[index] = calls[index]()
        except BaseException as error:  # noqa: BLE001 - a thread's error belongs to the caller
            errors[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in filter(None, errors):
        raise error
    return results


def _add_gradients(module: nn.Module, replica: nn.Module) -> None:
    """Add the gradients of a replica to those of the module."""
    for parameter, copied in zip(module.parameters(), replica.parameters(), strict=True):
        if copied.grad is not None:
            parameter.grad = copied.grad if parameter.grad is None else parameter.grad + copied.grad


### END SOLUTION


def data_parallel_step(
    module: nn.Module,
    x: Tensor,
    y: Tensor,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    n_replicas: int,
    *,
    loss_inside: bool = False,
) -> tuple[Tensor, int]:
    """Return the loss of the whole batch and the number of gathered elements; leave the gradients in `module`.

    Scatter: x and y are cut along dim 0 as torch.chunk(n_replicas) cuts them, into shards of ceil(B / n_replicas) rows of
    which the last may be shorter; fewer rows than that give fewer shards. Replicate: for each shard a deep copy of
    `module`, which shares no memory with it or with another copy. Apply: every copy runs forward on its shard in a thread
    of its own, all at the same time. Then

    * loss_inside=False: the outputs are gathered, in order, and the loss is loss_fn(all outputs, y);
    * loss_inside=True: loss_fn(output, shard of y) is computed with each replica, and only these scalars are gathered.
      `loss_fn` is a mean over rows, so the loss is the mean of the scalars weighted with their numbers of rows.

    Reduce: the gradients of this loss are summed over the replicas and added to `module`'s `.grad`, as backward() on
    `module` itself would do it: to what is there already; None where a parameter was not used. Nothing else in `module`
    changes, buffers included: the copies are thrown away.

    Shapes: x (B, ...) and y (B, ...) with B >= 1; module(x) has B rows, too. Both stay as they were. The loss is a tensor of
        no dimension; the number is that of all elements of the outputs, or with loss_inside the number of shards.
    Raises: ValueError if n_replicas is less than 1; what a replica raises in its thread is raised here, of
        several the first shard's.
    Source: PyTorch documentation, torch.nn.DataParallel, https://docs.pytorch.org/docs/stable/generated/torch.nn.DataParallel.html
    """
    ### BEGIN SOLUTION
    if n_replicas < 1:
        raise ValueError(f"n_replicas must be at least 1, not {n_replicas}.")
    xs, ys = x.chunk(n_replicas), y.chunk(n_replicas)
    replicas = [copy.deepcopy(module) for _ in xs]

    def forward(replica: nn.Module, x_shard: Tensor, y_shard: Tensor) -> Tensor:
        output = replica(x_shard)
        return loss_fn(output, y_shard) if loss_inside else output

    work = zip(replicas, xs, ys, strict=True)
    gathered = _run_in_threads([lambda shard=shard: forward(*shard) for shard in work])
    if loss_inside:
        loss = sum(len(shard) / len(x) * scalar for shard, scalar in zip(xs, gathered, strict=True))
    else:
        loss = loss_fn(torch.cat(gathered), y)
    loss.backward()
    for replica in replicas:
        _add_gradients(module, replica)
    return loss.detach(), sum(result.numel() for result in gathered)
    ### END SOLUTION
