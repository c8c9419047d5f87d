"""One step of nn.DataParallel whose backward is taken apart: gradients of the outputs are scattered, as the text draws it."""

import copy
from concurrent.futures import ThreadPoolExecutor

import torch


def data_parallel_step(module, x, y, loss_fn, n_replicas, *, loss_inside=False):
    """Return the loss of the whole batch and the number of gathered elements; leave the gradients in `module`."""
    if n_replicas < 1:
        raise ValueError(f"{n_replicas} replicas")
    rows = -(-len(x) // n_replicas)
    shards = [slice(start, start + rows) for start in range(0, len(x), rows)]
    replicas = [copy.deepcopy(module) for _ in shards]
    with ThreadPoolExecutor(len(shards)) as pool:
        outputs = list(pool.map(lambda replica, shard: replica(x[shard]), replicas, shards))
    leaves = [output.detach().requires_grad_() for output in outputs]
    if loss_inside:
        scalars = [loss_fn(leaf, y[shard]) * len(leaf) for leaf, shard in zip(leaves, shards, strict=True)]
        loss, gathered = torch.stack(scalars).sum() / len(x), len(scalars)
    else:
        whole = torch.cat(leaves)
        loss, gathered = loss_fn(whole, y), whole.numel()
    grads = torch.autograd.grad(loss, leaves)
    for replica, output, grad in zip(replicas, outputs, grads, strict=True):
        parameters = [p for p in replica.parameters() if p.requires_grad]
        found = torch.autograd.grad(output, parameters, grad, allow_unused=True)
        trainable = [p for p in module.parameters() if p.requires_grad]
        for parameter, new in zip(trainable, found, strict=True):
            if new is not None and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            if new is not None:
                parameter.grad += new
    return loss, gathered
