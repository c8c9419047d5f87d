"""Baselines and assertions that the tests of this chapter share."""

import functools

import torch
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop
from torch.utils.flop_counter import FlopCounterMode

from course_env.gpt_config import GPTConfig
from course_env.tiny_gpt import TinyGPT

SMALL = GPTConfig(vocab_size=40, n_layer=3, n_head=4, d_model=16, max_seq=8)


def draw(*choices):
    """Return one of the choices."""
    return choices[int(torch.randint(len(choices), ()))]


def draw_config():
    """Return a small configuration; few of its sizes are alike."""
    n_kv_head = draw(1, 2, 3)
    n_head = n_kv_head * draw(1, 2, 4)
    return GPTConfig(
        vocab_size=draw(31, 40, 57, 100),
        n_layer=draw(1, 2, 3),
        n_head=n_head,
        n_kv_head=n_kv_head,
        d_model=n_head * draw(4, 6),
        d_ff=draw(24, 36, 60, 0),
        max_seq=draw(8, 11),
        tie_embeddings=draw(True, False),
        bias=draw(True, False),
    )


def counted(cfg, batch, seq, recompute="none"):
    """Return what PyTorch counts while a model is really trained for a step, with its own checkpointing.

    What is handed in can do nothing of this: in the tests of flops.py no model can be made and no counter runs.
    """
    with torch.device("meta"):
        model, tokens = TinyGPT(cfg), torch.zeros(batch, seq, dtype=torch.int64)
    for block in model.blocks:
        part, name = {"none": (block, None), "selective": (block.attention, "core"), "full": (block, "forward")}[
            recompute
        ]
        if name is not None:
            setattr(part, name, functools.partial(checkpoint, getattr(part, name), use_reentrant=False))
    # Otherwise the last product of a block would not be repeated: nobody needs its result twice.
    with set_checkpoint_early_stop(False), FlopCounterMode(display=False) as counter:
        model(tokens).sum().backward()
    return counter.get_total_flops()
