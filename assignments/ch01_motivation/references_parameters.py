"""Baselines and assertions that the public and the hidden tests of parameters.py share."""

from dataclasses import replace

import torch

from course_env.rank_programs import call_each
from course_env.tiny_gpt import TinyGPT

# A linear layer splits its rows (outputs) and with them its bias, or its columns (inputs).
SPLIT = (
    *("token_embedding.weight", "head.weight", "qkv.weight", "qkv.bias", "up.weight", "up.bias"),
    *("output.weight", "down.weight"),
)


def held_by_one_rank(cfg, tp=1, vocab_multiple=1):
    """Return how many numbers one of `tp` ranks holds of a model that is really made, with a padded vocabulary."""
    unit = vocab_multiple * tp
    with torch.device("meta"):
        model = TinyGPT(replace(cfg, vocab_size=-(-cfg.vocab_size // unit) * unit))
    return sum(p.numel() // (tp if name.endswith(SPLIT) else 1) for name, p in model.named_parameters())


def assert_counts(launch, calls, expected):
    """Every call returns the whole number that is expected of it."""
    shared = {"function": "param_count", "calls": calls}
    found = launch(call_each, 1, shared=shared, process_group=False)["values"][0]
    for call, number, right in zip(calls, found, expected, strict=True):
        told = ", ".join(f"{name}={value}" for name, value in call.items())
        assert number == right, f"param_count({told}) is {number}, and the model has {right}"
        assert type(number) is int, f"param_count({told}) is {number!r}: parameters are counted in whole numbers"
