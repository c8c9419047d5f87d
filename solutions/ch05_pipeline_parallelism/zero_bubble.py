"""Zero bubble: backward in two parts, of which only one is waited for by the stage before.

Backward of a layer computes two gradients. That of its input, B, is what the stage before waits for; that of its weights, W, is
needed by nobody before the optimizer's step, so it can fill the time in which a device would wait.
"""

from torch import Tensor

from course_env.pipeline import Action, PipelineSchedule


def linear_backward_input(gy: Tensor, w: Tensor) -> Tensor:
    """Return the gradient of the input x of y = x @ w.T, from the gradient gy of y: the part B of the layer's backward.

    It needs no activation: neither x nor y. The arguments stay as they were.

    Shapes: gy (..., d_out) with any number of leading dims, w (d_out, d_in) as in nn.Linear. Result (..., d_in).
    Source: Qi et al. 2023, Zero Bubble Pipeline Parallelism, arXiv:2401.10241, sections 2.1 and 2.3
    """
    ### BEGIN SOLUTION
    return gy @ w
    ### END SOLUTION


def linear_backward_weight(gy: Tensor, x: Tensor) -> Tensor:
    """Return the gradient of the weight w of y = x @ w.T, from the gradient gy of y: the part W of the layer's backward.

    It is the sum over all rows, that is over all leading dims. It needs no weight. The arguments stay as they were.

    Shapes: gy (..., d_out) and x (..., d_in) with the same leading dims, of any number. Result (d_out, d_in).
    """
    ### BEGIN SOLUTION
    return gy.flatten(0, -2).T @ x.flatten(0, -2)
    ### END SOLUTION


def zb_h1_schedule(p: int, m: int) -> PipelineSchedule:
    """Return a schedule in the manner of ZB-H1, of m micro-batches on p devices with one stage each and backward split.

    Every device has the actions `("F", i, 0)`, `("B", i, 0)` and `("W", i, 0)` for each micro-batch i. Its F and B are in the
    order of 1F1B of exercise 5.1. Its W are in the order of the micro-batches, each somewhere after its B.

    They fill what would be idle time: if F, B and W take 1 each and what is sent arrives at once, the last of all actions ends
    at 2 m + p - 1 + max(m, p). With m >= p that is a bubble of p - 1 in place of 1F1B's 3 (p - 1).
    Memory bounds how long a W can be put off: a device never has more than min(m, p) micro-batches of which F has begun and
    W has not ended. That is as many as on the first device of 1F1B, and within it no step can end earlier.

    Raises: ValueError for p < 1 or m < 1.
    """
    ### BEGIN SOLUTION
    if p < 1 or m < 1:
        raise ValueError(f"p and m must be at least 1, not {p} and {m}.")
    orders = [_one_f_one_b(p, m, device) for device in range(p)]
    schedule: list[list[Action]] = [[] for _ in range(p)]
    ended: set[tuple[str, int, int]] = set()  # (kind, micro-batch, device) of all that ended before the present step
    while any(len(actions) < 3 * m for actions in schedule):
        step = {device: _next(device, p, orders[device], schedule[device], ended) for device in range(p)}
        for device, action in step.items():
            if action is not None:
                schedule[device].append(action)
                ended.add((action[0], action[1], device))
    return tuple(map(tuple, schedule))
    ### END SOLUTION


### BEGIN SOLUTION
def _one_f_one_b(p: int, m: int, device: int) -> list[Action]:
    """Return what a device does in 1F1B."""
    num_ahead = min(m, p - device)
    actions: list[Action] = [("F", i, 0) for i in range(num_ahead)]
    for i in range(num_ahead, m):
        actions += [("B", i - num_ahead, 0), ("F", i, 0)]
    return [*actions, *(("B", i, 0) for i in range(m - num_ahead, m))]


def _next(
    device: int, p: int, order: list[Action], done: list[Action], ended: set[tuple[str, int, int]]
) -> Action | None:
    """Return what a device does in this step: F or B if it can, else W if there is one, else nothing."""
    count = {kind: sum(action[0] == kind for action in done) for kind in "FBW"}
    if count["F"] + count["B"] < len(order):
        kind, i, _ = order[count["F"] + count["B"]]
        if kind == "F":
            is_ready = (device == 0 or ("F", i, device - 1) in ended) and count["F"] - count["W"] < p
        else:
            is_ready = device == p - 1 or ("B", i, device + 1) in ended
        if is_ready:
            return (kind, i, 0)
    return ("W", count["W"], 0) if count["W"] < count["B"] else None


### END SOLUTION
