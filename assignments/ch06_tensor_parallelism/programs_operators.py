"""What runs on every rank in the tests of operators.py."""

from functools import partial

import torch
import torch.distributed as dist

from course_env.rank_programs import attempt, group_among


def operators(student, *, cases, groups=None):
    """Take tanh of each case's x through one of the operators, and its dy back.

    A case names the function, and has x, dy and, as `options`, further arguments. A barrier stands between forward and
    backward, and between two cases, in the record. `x` and `dy` are the arguments as they are afterwards.
    """
    group = group_among(groups)
    results = []
    for number, case in enumerate(cases):
        if number:
            dist.barrier()
        results.append(_there_and_back(student, group, **case))
    return {"results": results}


def _there_and_back(student, group, *, op, x, dy, options):
    leaf = x.clone().requires_grad_()
    hidden = torch.tanh(leaf)  # its gradient needs its values, so a write to them shows
    given = hidden.mT if options.get("transposed") else hidden
    back = dy.mT.contiguous().mT if options.get("transposed") else dy
    dim = {"dim": options["dim"]} if "dim" in options else {}
    y = getattr(student, op)(given, group, **dim)
    dist.barrier()
    if y.shape == back.shape:
        y.backward(back)
    return {"y": y.detach(), "x_grad": leaf.grad, "dy": back, "hidden": hidden.detach()}


def two_layers(student, *, x, first, second, dy, groups=None):
    """Apply a residual block of two matrices, between copy_to_tp and reduce_from_tp, twice; take dy back."""
    group = group_among(groups)
    leaf = x.clone().requires_grad_()
    weights = [first.clone().requires_grad_(), second.clone().requires_grad_()]
    y = leaf
    for _ in range(2):
        y = y + student.reduce_from_tp(torch.tanh(student.copy_to_tp(y, group) @ weights[0]) @ weights[1], group)
    y.backward(dy)
    return {"y": y.detach(), "x_grad": leaf.grad, "first_grad": weights[0].grad, "second_grad": weights[1].grad}


def mixed_parts(student, *, cases):
    """Call scatter_to_tp on each x and dim; return what it returned, and how each call ended."""
    ends = [attempt(partial(student.scatter_to_tp, x, None, dim)) for x, dim in cases]
    return {"values": [value for value, _ in ends], "errors": [error for _, error in ends]}
