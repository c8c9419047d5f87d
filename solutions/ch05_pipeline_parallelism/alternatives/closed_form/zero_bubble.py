"""ZB-H1 in closed form: on device d, W follows B by d micro-batches."""

import torch


def linear_backward_input(gy, w):
    """Return the gradient of the input."""
    return torch.einsum("...o,oi->...i", gy, w)


def linear_backward_weight(gy, x):
    """Return the gradient of the weight."""
    return torch.einsum("...o,...i->oi", gy, x)


def zb_h1_schedule(p, m):
    """Return the schedule."""
    if p < 1 or m < 1:
        raise ValueError(f"There is nothing to schedule for {p} and {m}.")
    schedule = []
    for device in range(p):
        ahead = min(m, p - device)
        actions = [("F", i, 0) for i in range(ahead)]
        for i in range(m):
            actions.append(("B", i, 0))
            if i >= device:
                actions.append(("W", i - device, 0))
            if i + ahead < m:
                actions.append(("F", i + ahead, 0))
        actions += [("W", i, 0) for i in range(max(0, m - device), m)]
        schedule.append(tuple(actions))
    return tuple(schedule)
