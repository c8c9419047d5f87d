"""Baselines and assertions that the public and the hidden tests of chinchilla.py share."""

import torch

from course_env.rank_programs import call_each
from course_env.scaling import LossFit

OTHERS = [float(factor) for factor in torch.logspace(-3, 3, 2001, dtype=torch.float64)]
"""By which the best size is multiplied for the sizes that it is compared with."""


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


def losses_of(launch, sizes, fit):
    """Return what the student's own chinchilla_loss says for pairs of sizes."""
    calls = [{"n": n, "d": d, "fit": fit} for n, d in sizes]
    run = launch(call_each, 1, shared={"function": "chinchilla_loss", "calls": calls}, process_group=False)
    return run["values"][0]
