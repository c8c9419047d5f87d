"""Gradients by autograd, and W that are put off as long as memory allows."""

import torch
from torch.nn import functional


def linear_backward_input(gy, w):
    """Return the gradient of the input."""
    x = torch.zeros(*gy.shape[:-1], w.shape[1], dtype=w.dtype, requires_grad=True)
    return torch.autograd.grad(functional.linear(x, w), x, gy)[0]


def linear_backward_weight(gy, x):
    """Return the gradient of the weight."""
    w = torch.zeros(gy.shape[-1], x.shape[-1], dtype=x.dtype, requires_grad=True)
    return torch.autograd.grad(functional.linear(x, w), w, gy)[0]


def zb_h1_schedule(p, m):
    """Return the schedule."""
    if min(p, m) < 1:
        raise ValueError("There is nothing to schedule.")
    most = min(m, p)
    schedule = []
    for device in range(p):
        done, begun, ended, finished = [], 0, 0, 0
        while finished < m:
            if begun < m and begun - ended < p - device and begun - finished < most:
                done.append(("F", begun, 0))
                begun += 1
            elif (
                begun - finished == most
                and ended > finished
                and (ended - finished > device or begun - ended < p - device)
            ):
                done.append(("W", finished, 0))
                finished += 1
            elif ended < begun and ended - finished <= device:
                done.append(("B", ended, 0))
                ended += 1
            else:
                done.append(("W", finished, 0))
                finished += 1
        schedule.append(tuple(done))
    return tuple(schedule)
