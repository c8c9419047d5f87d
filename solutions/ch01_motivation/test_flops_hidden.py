"""Hidden tests of exercise `train_flops`."""

import pytest
import torch

from assignments.ch01_motivation.references import SMALL, counted, draw, draw_config
from assignments.ch01_motivation.references_flops import assert_flops
from course_env.gpt_config import GPT3_175B
from course_env.rank_programs import call_each, error_types
from grader.harness import exercise


@exercise("train_flops", aspect="equivalence")
def test_other_shapes(launch):
    """Models of other shapes take as many operations as PyTorch counts."""
    calls = [{"cfg": draw_config(), "batch": draw(1, 2, 5), "seq": draw(2, 3, 8)} for _ in range(16)]
    assert_flops(launch, calls, [counted(**call) for call in calls])


@exercise("train_flops", aspect="equivalence")
@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
def test_other_shapes_with_recomputation(launch, recompute):
    """With each kind of recomputation, models of other shapes take as many operations as PyTorch counts."""
    calls = [{"cfg": draw_config(), "batch": 3, "seq": draw(1, 6, 8), "recompute": recompute} for _ in range(6)]
    assert_flops(launch, calls, [counted(**call) for call in calls])


@exercise("train_flops", aspect="property")
def test_published_closed_forms(launch):
    """A known model takes within a thousandth of the published estimate without recomputation, and exactly a known one with."""
    calls = [{"cfg": GPT3_175B, "batch": 2, "seq": 2048, "recompute": kind} for kind in ("none", "full")]
    run = launch(call_each, 1, shared={"function": "train_flops", "calls": calls}, process_group=False)
    none, full = run["values"][0]
    layers = 2 * 2048 * 96 * 12288**2
    assert none == pytest.approx(72 * layers * (1 + 2048 / (6 * 12288) + 50257 / (16 * 96 * 12288)), rel=1e-3)
    assert full == pytest.approx(96 * layers * (1 + 2048 / (6 * 12288) + 50257 / (16 * 96 * 12288)), rel=1e-12)
    assert full / none == pytest.approx(4 / 3, rel=1e-3)


@exercise("train_flops", aspect="property")
def test_a_product_of_two_numbers(student):
    """The rule of thumb is a product of whole numbers, however large they are."""
    n, d = (int(torch.randint(10**11, 10**13, ())) for _ in range(2))
    assert student.approx_6nd(n, d) == 6 * n * d


@exercise("train_flops", aspect="robustness")
def test_limits_of_the_arguments(launch):
    """The longest sequence is allowed, one more is not; neither are negative sizes."""
    calls = [
        {"cfg": SMALL, "batch": 1, "seq": 8},
        {"cfg": SMALL, "batch": 1, "seq": 9},
        {"cfg": SMALL, "batch": 1, "seq": 0},
        {"cfg": SMALL, "batch": -2, "seq": 4},
        {"cfg": SMALL, "batch": 1, "seq": 4, "recompute": "None"},
    ]
    run = launch(call_each, 1, shared={"function": "train_flops", "calls": calls}, process_group=False)
    assert error_types(run["errors"][0]) == [""] + ["ValueError"] * 4
