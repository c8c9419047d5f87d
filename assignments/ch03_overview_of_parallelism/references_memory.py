"""Baselines and assertions that the public and the hidden tests of memory.py share."""

from dataclasses import replace

import torch

from course_env.layout import MemReport
from course_env.rank_programs import call_each
from course_env.tiny_gpt import TinyGPT

# A linear layer splits its rows (outputs) and with them its bias, or its columns (inputs); the vocabulary is split by rows.
SPLIT = (
    *("token_embedding.weight", "head.weight", "qkv.weight", "qkv.bias", "up.weight", "up.bias"),
    *("output.weight", "down.weight"),
)


def is_on(name, cfg, layout, stage):
    """Whether a stage holds the parameter of this name."""
    first = stage == 0
    last = stage + 1 == layout.pp
    if name.startswith("blocks."):
        return int(name.split(".")[1]) // (cfg.n_layer // layout.pp) == stage
    is_tied_head = name == "token_embedding.weight" and cfg.tie_embeddings
    return first if name.endswith("embedding.weight") and not (is_tied_head and last) else last


def parameters_of(cfg, layout, stage):
    """Return how many parameters one rank of a stage holds of a model that is really made, cut and split."""
    padded = -(-cfg.vocab_size // layout.tp) * layout.tp
    with torch.device("meta"):
        model = TinyGPT(replace(cfg, vocab_size=padded))
    named = [(name, p) for name, p in model.named_parameters() if is_on(name, cfg, layout, stage)]
    return sum(p.numel() // (layout.tp if name.endswith(SPLIT) else 1) for name, p in named)


def due(cfg, layout, stage, per_layer):
    """Return the report due, if a layer keeps `per_layer` bytes of activations of a micro-batch."""
    n = parameters_of(cfg, layout, stage)
    piece = -(-n // layout.dp)
    in_flight = layout.n_micro
    if layout.schedule != "gpipe":
        in_flight = min(in_flight, layout.pp - stage)
    return MemReport(
        parameters=2 * (piece if layout.zero == 3 else n),
        gradients=2 * (piece if layout.zero >= 2 else n),
        optimizer=12 * (piece if layout.zero >= 1 else n),
        activations=per_layer * in_flight * cfg.n_layer // layout.pp,
    )


def assert_reports(launch, cases):
    """Each part of each report is what it should be."""
    calls = [{"cfg": cfg, "layout": layout, "stage": stage} for cfg, layout, stage, _ in cases]
    run = launch(call_each, 1, shared={"function": "memory_per_gpu", "calls": calls}, process_group=False)
    for case, found in zip(cases, run["values"][0], strict=True):
        told = f"memory_per_gpu(..., {case[1]}, stage={case[2]})"
        assert isinstance(found, MemReport), f"{told} is no MemReport: {found}"
        for part in ("parameters", "gradients", "optimizer", "activations"):
            wrong, right = getattr(found, part), getattr(due(*case), part)
            assert wrong == right, f"{told}: {part} take {wrong:,} bytes, and {right:,} are due"
