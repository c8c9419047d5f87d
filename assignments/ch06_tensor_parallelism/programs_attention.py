"""What runs on every rank in the tests of attention.py."""

from functools import partial

import torch.distributed as dist

from course_env.rank_programs import attempt, group_among


def attend(student, *, sizes, whole, xs, dys, causal=True, groups=None, kv_groups=None):
    """Load an attention with whole tensors, and take each x forward and its dy back, without clearing gradients.

    `parameters` are those that the layer had before it was loaded, as they are after; `x` are the inputs as they are after.
    A barrier stands between any two of constructor, forward and backward, in the record.
    """
    group, kv_group = group_among(groups), group_among(kv_groups)
    layer = student.ParallelSelfAttention(*sizes, causal=causal, group=group, kv_group=kv_group).double()
    held = dict(layer.named_parameters())
    layer.load_full(*whole)
    ys, leaves = [], []
    for x, dy in zip(xs, dys, strict=True):
        leaf = x.clone().requires_grad_()
        dist.barrier()
        y = layer(leaf)
        dist.barrier()
        if y.shape == dy.shape:
            y.backward(dy)
        ys.append(y.detach())
        leaves.append(leaf)
    return {
        "ys": ys,
        "x_grads": [leaf.grad for leaf in leaves],
        "parameters": {name: parameter.detach() for name, parameter in held.items()},
        "grads": {name: parameter.grad for name, parameter in layer.named_parameters()},
    }


def constructions(student, *, layers, kv_groups):
    """Try to make layers of [d, n_head, n_kv_head, with kv_group]; return what was raised, and shapes where nothing was."""
    kv_group = group_among(kv_groups)
    shapes, errors = [], []
    for *sizes, shared in layers:
        layer, error = attempt(partial(student.ParallelSelfAttention, *sizes, kv_group=kv_group if shared else None))
        shapes.append(layer and {name: list(parameter.shape) for name, parameter in layer.named_parameters()})
        errors.append(error)
    return {"shapes": shapes, "errors": errors}
