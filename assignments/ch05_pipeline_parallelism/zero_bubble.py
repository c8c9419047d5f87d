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
    # TODO(zero_bubble): write this part, and delete the line below.
    raise NotImplementedError("TODO(zero_bubble)")


def linear_backward_weight(gy: Tensor, x: Tensor) -> Tensor:
    """Return the gradient of the weight w of y = x @ w.T, from the gradient gy of y: the part W of the layer's backward.

    It is the sum over all rows, that is over all leading dims. It needs no weight. The arguments stay as they were.

    Shapes: gy (..., d_out) and x (..., d_in) with the same leading dims, of any number. Result (d_out, d_in).
    """
    # TODO(zero_bubble): write this part, and delete the line below.
    raise NotImplementedError("TODO(zero_bubble)")


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
    # TODO(zero_bubble): write this part, and delete the line below.
    raise NotImplementedError("TODO(zero_bubble)")
