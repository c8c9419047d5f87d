"""Baselines and assertions that the public and the hidden tests of chinchilla.py share."""

import pytest
import torch

from course_env.scaling import LossFit


def between(low, high):
    """Return a number drawn between two others."""
    return float(low + (high - low) * torch.rand((), dtype=torch.float64))


def draw_fit():
    """Return constants that nobody has published."""
    return LossFit(
        irreducible=between(1, 2),
        a=between(200, 600),
        b=between(200, 3000),
        alpha=between(0.2, 0.5),
        beta=between(0.2, 0.5),
    )


def loss(n, d, fit):
    """Return the loss of n parameters and d tokens: numbers, or tensors of them."""
    of_size, of_data = fit.a * n**-fit.alpha, fit.b * d**-fit.beta
    return fit.irreducible + of_size + of_data


def assert_nothing_is_better(c, n, d, fit):
    """6 n d is the whole budget, and no model within a factor of a thousand uses it better."""
    assert 6 * n * d == pytest.approx(c, rel=1e-9)
    others = n * torch.logspace(-3, 3, 2001, dtype=torch.float64)
    best = loss(others, c / 6 / others, fit).min().item()
    assert loss(n, d, fit) <= best * (1 + 1e-12), f"n = {n:.4g} has loss {loss(n, d, fit)}, another has {best}"
