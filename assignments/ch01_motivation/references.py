"""Configurations that the tests of this chapter share, and the order in which mistakes are tried."""

import torch

from course_env.gpt_config import GPTConfig

SMALL = GPTConfig(vocab_size=40, n_layer=3, n_head=4, d_model=16, max_seq=8)

OTHERS = (
    GPTConfig(
        vocab_size=57,
        n_layer=2,
        n_head=6,
        n_kv_head=2,
        d_model=36,
        d_ff=60,
        max_seq=11,
        tie_embeddings=False,
        bias=False,
    ),
    GPTConfig(vocab_size=31, n_layer=1, n_head=8, n_kv_head=2, d_model=32, d_ff=24, max_seq=9),
)
"""Shapes of which few sizes are alike: shared key heads, narrow feed-forward blocks."""


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


def telling(wrong, expected):
    """Return the mistakes that change what a test sees, those first that change the fewest calls: they say most.

    wrong: for each mistake, what it makes of each call
    """
    changed = {
        name: sum(value != right for value, right in zip(values, expected, strict=True))
        for name, values in wrong.items()
    }
    return {name: wrong[name] for name in sorted(wrong, key=changed.get) if changed[name]}
