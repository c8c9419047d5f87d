"""Baselines and assertions that the public and the hidden tests of kaplan.py share."""

import torch


def size(low, high):
    """Return a number between 10^low and 10^high."""
    return 10 ** float(low + (high - low) * torch.rand((), dtype=torch.float64))
