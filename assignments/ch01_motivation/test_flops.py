"""Public tests of exercise `train_flops`."""

import pytest

from assignments.ch01_motivation.references import SMALL, counted, draw, draw_config
from assignments.ch01_motivation.references_flops import assert_flops
from course_env.gpt_config import GPT3_175B
from course_env.rank_programs import call_each, error_types
from grader.harness import exercise


@exercise("train_flops", aspect="equivalence")
def test_a_small_model(launch):
    """Two sequences of 8 tokens through three layers of width 16 take 1,019,904 operations, there and back."""
    assert_flops(launch, [{"cfg": SMALL, "batch": 2, "seq": 8}], [1_019_904])


@exercise("train_flops", aspect="equivalence")
def test_every_matrix_product_is_counted(launch):
    """The count is PyTorch's own, to the last operation, for models of many shapes."""
    calls = [{"cfg": draw_config(), "batch": draw(1, 3), "seq": draw(1, 5, 8)} for _ in range(12)]
    assert_flops(launch, calls, [counted(**call) for call in calls])


@exercise("train_flops", aspect="equivalence")
@pytest.mark.parametrize("recompute", ["selective", "full"])
def test_recomputation_costs_what_checkpointing_repeats(launch, recompute):
    """Recomputation repeats the attention core of each block, or the whole block, and never the output head."""
    calls = [{"cfg": draw_config(), "batch": 2, "seq": 7, "recompute": recompute} for _ in range(4)]
    assert_flops(launch, calls, [counted(**call) for call in calls])


@exercise("train_flops", aspect="property")
def test_the_closed_form_for_large_models(launch):
    """With full recomputation a GPT-3 takes 96 B s l h^2 (1 + s / 6h + V / 16lh), exactly."""
    batch, s, n_layer, h, vocab = 4, 2048, 96, 12288, 50257
    closed = 96 * batch * s * n_layer * h**2 + 16 * batch * s**2 * n_layer * h + 6 * batch * s * h * vocab
    assert_flops(launch, [{"cfg": GPT3_175B, "batch": batch, "seq": s, "recompute": "full"}], [closed])


@exercise("train_flops", aspect="property")
def test_the_rule_of_thumb(student):
    """6 N D of GPT-3's 175 billion parameters and 300 billion tokens is 3.15e23, or 3646 petaflop/s-days."""
    flops = student.approx_6nd(175 * 10**9, 300 * 10**9)
    assert flops == 315 * 10**21
    assert flops / (1e15 * 86_400) == pytest.approx(3645.8, abs=0.05)


@exercise("train_flops", aspect="robustness")
def test_what_no_model_can_run_is_refused(launch):
    """Sequences longer than the position embedding, no sequence at all, and unknown words raise ValueError."""
    calls = [
        {"cfg": SMALL, "batch": 1, "seq": 9},
        {"cfg": SMALL, "batch": 0, "seq": 8},
        {"cfg": SMALL, "batch": 1, "seq": 8, "recompute": "all"},
    ]
    run = launch(call_each, 1, shared={"function": "train_flops", "calls": calls}, process_group=False)
    assert error_types(run["errors"][0]) == ["ValueError"] * 3
