"""Baselines and assertions that the public and the hidden tests of kaplan.py share."""

import torch

OTHER_SIZE = "the law of the other size is taken: parameters go with 0.076 and 8.8e13, tokens with 0.095 and 5.4e13"
UPSIDE_DOWN = "the loss grows with the size: the fraction is upside down"


def size(low, high):
    """Return a number between 10^low and 10^high."""
    return 10 ** float(low + (high - low) * torch.rand((), dtype=torch.float64))
