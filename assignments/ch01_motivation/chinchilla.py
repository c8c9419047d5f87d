"""The scaling laws of 2022: which model size makes the most of a given amount of compute, by Hoffmann et al."""

import torch
from torch import Tensor

from course_env.scaling import LossFit


def chinchilla_loss(n: float, d: float, fit: LossFit) -> float:
    """Return fit.irreducible + fit.a / n^fit.alpha + fit.b / d^fit.beta, in nats per token.

    n: parameters; d: training tokens

    Source: Hoffmann et al. 2022, Training Compute-Optimal Large Language Models, arXiv:2203.15556, section 3.3, equation 4
    """
    # TODO(chinchilla): write this part, and delete the line below.
    raise NotImplementedError("TODO(chinchilla)")


def compute_optimal(c: float, fit: LossFit) -> tuple[float, float]:
    """Return the (n, d) with the smallest loss among all that take `c` operations, where n parameters and d tokens take 6 n d.

    In closed form, not by search; both are real numbers.

    Raises: ValueError if c is not positive.
    """
    # TODO(chinchilla): write this part, and delete the line below.
    raise NotImplementedError("TODO(chinchilla)")


def fit_power_law(x: Tensor, y: Tensor) -> tuple[float, float]:
    """Return the (a, b) of y = a x^b that a straight line through the logarithms of x and y says, by least squares.

    Shapes: x and y are of one dimension and equally long, at least two entries, all positive; float64.

    Raises: ValueError if x and y differ in length, have fewer than two entries, or one that is not positive.
    """
    # TODO(chinchilla): write this part, and delete the line below.
    raise NotImplementedError("TODO(chinchilla)")
