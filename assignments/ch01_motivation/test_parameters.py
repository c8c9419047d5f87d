"""Public tests of exercise `param_count`."""

from dataclasses import replace

import pytest

from assignments.ch01_motivation.references import draw_config
from assignments.ch01_motivation.references_parameters import assert_counts, held_by_one_rank
from course_env.gpt_config import GPT2_SMALL, GPTConfig
from course_env.rank_programs import call_each, error_types
from grader.harness import exercise


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
    """A tp that does not divide the heads or the inner dimension raises ValueError, and so does a tp of 0."""
    cfg = GPTConfig(vocab_size=40, n_layer=1, n_head=6, n_kv_head=2, d_model=24, d_ff=36, max_seq=8)
    calls = [{"cfg": cfg, "tp": tp} for tp in (0, 3, 4)]
    run = launch(call_each, 1, shared={"function": "param_count", "calls": calls}, process_group=False)
    assert error_types(run["errors"][0]) == ["ValueError"] * 3, (
        "tp = 0, 3 and 4 do not divide 6 heads, 2 key heads and 36 dimensions"
    )
