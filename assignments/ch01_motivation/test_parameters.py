"""Public tests of exercise `param_count`."""

from dataclasses import replace

import pytest
import torch

from course_env.gpt_config import GPT2_SMALL, GPTConfig
from course_env.rank_programs import call_each, error_types
from course_env.tiny_gpt import TinyGPT
from grader.harness import exercise

# A linear layer splits its rows (outputs) and with them its bias, or its columns (inputs).
SPLIT = (
    *("token_embedding.weight", "head.weight", "qkv.weight", "qkv.bias", "up.weight", "up.bias"),
    *("output.weight", "down.weight"),
)


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


@exercise("param_count", aspect="equivalence")
def test_whole_models_are_counted_exactly(launch):
    """The count is that of TinyGPT, with and without biases, with shared key heads, with a tied and a separate head."""
    configs = [draw_config() for _ in range(30)]
    assert_counts(launch, [{"cfg": cfg} for cfg in configs], [held_by_one_rank(cfg) for cfg in configs])


@exercise("param_count", aspect="equivalence")
@pytest.mark.parametrize(("tie", "expected"), [(True, 124_439_808), (False, 163_037_184)])
def test_gpt2_small(launch, tie, expected):
    """GPT-2 small has 124,439,808 parameters; with an output head of its own it would have 163,037,184."""
    assert_counts(launch, [{"cfg": replace(GPT2_SMALL, tie_embeddings=tie)}], [expected])


@exercise("param_count", aspect="property")
@pytest.mark.parametrize("tp", [2, 4])
def test_a_rank_holds_its_share_of_what_is_split(launch, tp):
    """Heads, inner dimensions and the vocabulary are split; positions, LayerNorms and two biases are on every rank."""
    configs = [
        GPTConfig(vocab_size=40, n_layer=2, n_head=4, d_model=16, max_seq=8),
        GPTConfig(
            vocab_size=40, n_layer=1, n_head=8, n_kv_head=4, d_model=32, d_ff=24, max_seq=9, tie_embeddings=False
        ),
        GPTConfig(vocab_size=40, n_layer=3, n_head=4, d_model=24, max_seq=8, bias=False),
    ]
    assert_counts(launch, [{"cfg": cfg, "tp": tp} for cfg in configs], [held_by_one_rank(cfg, tp) for cfg in configs])


@exercise("param_count", aspect="robustness")
def test_what_cannot_be_split_is_refused(launch):
    """A tp that leaves a head or an inner dimension over raises ValueError, and so does a tp of 0."""
    cfg = GPTConfig(vocab_size=40, n_layer=1, n_head=6, n_kv_head=2, d_model=24, d_ff=36, max_seq=8)
    calls = [{"cfg": cfg, "tp": tp} for tp in (0, 3, 4)]
    run = launch(call_each, 1, shared={"function": "param_count", "calls": calls}, process_group=False)
    assert error_types(run["errors"][0]) == ["ValueError"] * 3, (
        "tp = 0, 3 and 4 do not divide 6 heads, 2 key heads and 36 dimensions"
    )
