"""The scaling laws of 2022: which model size makes the most of a given amount of compute, by Hoffmann et al."""

import torch
from torch import Tensor

from course_env.scaling import LossFit


def chinchilla_loss(n: float, d: float, fit: LossFit) -> float:
    """Return the loss that `fit` says for `n` parameters and `d` training tokens, in nats per token.

    It is the sum of what no size removes, of what a model of finite size costs (a and alpha of `fit`), and of what finite data
    cost (b and beta).

    Source: Hoffmann et al. 2022, Training Compute-Optimal Large Language Models, arXiv:2203.15556, section 3.3, equations 2 and 4
    """
    ### BEGIN SOLUTION
    return fit.irreducible + fit.a / n**fit.alpha + fit.b / d**fit.beta
    ### END SOLUTION


def compute_optimal(c: float, fit: LossFit) -> tuple[float, float]:
    """Return the (n, d) with the smallest loss among all that take `c` operations, where n parameters and d tokens take 6 n d.

    Both are real numbers, neither rounded, and right to nine digits. So solve for them: near the best size the loss hardly
    changes, and a search for the smallest loss finds half of the digits.

    Raises: ValueError if c is not positive.
    """
    ### BEGIN SOLUTION
    if c <= 0:
        raise ValueError(f"c must be positive, not {c}.")
    both = fit.alpha + fit.beta
    balance = (fit.alpha * fit.a / (fit.beta * fit.b)) ** (1 / both)
    n = balance * (c / 6) ** (fit.beta / both)
    return n, c / 6 / n
    ### END SOLUTION


def tokens_for_loss(loss: float, n: float, fit: LossFit) -> float:
    """Return the training tokens with which a model of `n` parameters reaches `loss`, by `fit`; a real number.

    Raises: ValueError if no number of tokens is enough: unlimited data would bring the model to `loss` at best, or not even there.
    """
    ### BEGIN SOLUTION
    left_for_data = loss - (fit.irreducible + fit.a / n**fit.alpha)
    if left_for_data <= 0:
        raise ValueError(f"{n} parameters do not reach a loss of {loss} with any number of tokens.")
    return (fit.b / left_for_data) ** (1 / fit.beta)
    ### END SOLUTION


def fit_power_law(x: Tensor, y: Tensor) -> tuple[float, float]:
    """Return the (a, b) of y = a x^b that a straight line through the logarithms of x and y says, by least squares.

    The values of a noisy run lie on no line: the line is the one whose squared distances from all logarithms of y add up to least.
    Shapes: x and y are of one dimension and equally long, at least two entries, all positive; float64. The x are not all equal.

    Raises: ValueError if x and y differ in length, have fewer than two entries, or one that is not positive.
    """
    ### BEGIN SOLUTION
    if x.shape != y.shape or x.dim() != 1 or len(x) < 2:
        raise ValueError(
            f"x and y must be of one dimension and equally long, two entries or more, not {x.shape} and {y.shape}."
        )
    if (x <= 0).any() or (y <= 0).any():
        raise ValueError("x and y must be positive: others have no logarithm.")
    log_x, log_y = x.log(), y.log()
    ones = torch.ones_like(log_x)
    slope, offset = torch.linalg.lstsq(torch.stack([log_x, ones], dim=1), log_y.unsqueeze(1)).solution.flatten()
    return offset.exp().item(), slope.item()
    ### END SOLUTION
