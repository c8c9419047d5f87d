"""Public tests of exercise `train_flops`."""

from dataclasses import replace

import pytest

from assignments.ch01_motivation.programs import call_each
from assignments.ch01_motivation.references import OTHERS, SMALL
from assignments.ch01_motivation.references_flops import assert_flops
from course_env.gpt_config import GPT3_175B
from grader.harness import assert_each_raises, assert_returns, exercise


@exercise("train_flops", aspect="equivalence")
def test_a_small_model(launch):
    """Two sequences of 8 tokens through three layers of width 16 take 1,019,904 operations, there and back; one takes half."""
    assert_flops(launch, [{"cfg": SMALL, "batch": batch, "seq": 8} for batch in (2, 1)], [1_019_904, 509_952])


@exercise("train_flops", aspect="equivalence")
def test_every_matrix_product_is_counted(launch):
    """The count is PyTorch's own, to the last operation, for models of many shapes."""
    shared_heads, narrow = OTHERS
    calls = [
        {"cfg": shared_heads, "batch": 1, "seq": 5},
        {"cfg": shared_heads, "batch": 3, "seq": 8},
        {"cfg": narrow, "batch": 3, "seq": 8},
        {"cfg": narrow, "batch": 1, "seq": 1},
    ]
    assert_flops(launch, calls, [549_720, 2_700_864, 806_400, 30_912])


@exercise("train_flops", aspect="equivalence")
@pytest.mark.parametrize(
    ("recompute", "expected"), [("selective", [1_591_632, 477_568]), ("full", [2_027_088, 592_256])]
)
def test_recomputation_costs_what_checkpointing_repeats(launch, recompute, expected):
    """Recomputation repeats the attention core of each block, or the whole block, and never the output head."""
    calls = [{"cfg": cfg, "batch": 2, "seq": 7, "recompute": recompute} for cfg in OTHERS]
    assert_flops(launch, calls, expected, "PyTorch's own checkpointing repeats as much")


@exercise("train_flops", aspect="property")
def test_the_closed_form_for_large_models(launch):
    """With full recomputation a GPT-3 takes 96 B s l h^2 (1 + s / 6h + V / 16lh), exactly; a million layers are counted as fast."""
    calls = [{"cfg": replace(GPT3_175B, n_layer=n), "batch": 4, "seq": 2048, "recompute": "full"} for n in (96, 10**6)]
    tokens, h = 4 * 2048, 12288
    expected = [96 * tokens * n * h**2 + 16 * tokens * 2048 * n * h + 6 * tokens * h * 50257 for n in (96, 10**6)]
    assert_flops(launch, calls, expected, "the published closed form; it is computed, and no model is made")


@exercise("train_flops", aspect="equivalence")
def test_the_rule_of_thumb(student):
    """6 N D of GPT-3's 175 billion parameters and 300 billion tokens is 3.15e23, or 3646 petaflop/s-days."""
    n, d = 175 * 10**9, 300 * 10**9
    wrong = {"backward is left out": 105 * 10**21, "recomputation is in it": 420 * 10**21}
    why = "2 operations per parameter and token forward and 4 backward, as a whole number"
    assert_returns(student.approx_6nd, {"n_params": n, "n_tokens": d}, 315 * 10**21, why=why, mistakes=wrong)


@exercise("train_flops", aspect="robustness")
def test_what_no_model_can_run_is_refused(launch):
    """Sequences longer than the position embedding, no sequence at all, and unknown words raise ValueError."""
    calls = [
        {"cfg": SMALL, "batch": 1, "seq": 9},
        {"cfg": SMALL, "batch": 1, "seq": 8},
        {"cfg": SMALL, "batch": 0, "seq": 8},
        {"cfg": SMALL, "batch": 1, "seq": 0},
        {"cfg": SMALL, "batch": 1, "seq": 8, "recompute": "all"},
    ]
    run = launch(call_each, 1, shared={"function": "train_flops", "calls": calls}, process_group=False)
    assert_each_raises(run, "train_flops", calls, ["ValueError", "", "ValueError", "ValueError", "ValueError"])
