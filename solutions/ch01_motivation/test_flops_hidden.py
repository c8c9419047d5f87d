"""Hidden tests of exercise `train_flops`."""

import functools
from dataclasses import replace

import pytest
import torch
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop
from torch.utils.flop_counter import FlopCounterMode

from assignments.ch01_motivation.programs import call_each
from assignments.ch01_motivation.references import SMALL, draw, draw_config
from assignments.ch01_motivation.references_flops import assert_flops
from course_env.gpt_config import GPT2_SMALL, GPT3_175B
from course_env.tiny_gpt import TinyGPT
from grader.harness import assert_each_raises, assert_returns, exercise


def counted(cfg, batch, seq, recompute="none"):
    """Return what PyTorch counts while a model is really trained for a step, with its own checkpointing."""
    model, tokens = TinyGPT(cfg), torch.zeros(batch, seq, dtype=torch.int64)
    for one in model.blocks:
        part, name = {"none": (one, None), "selective": (one.attention, "core"), "full": (one, "forward")}[recompute]
        if name is not None:
            setattr(part, name, functools.partial(checkpoint, getattr(part, name), use_reentrant=False))
    # Otherwise the last product of a block would not be repeated: nobody needs its result twice.
    with set_checkpoint_early_stop(False), FlopCounterMode(display=False) as counter:
        model(tokens).sum().backward()
    return counter.get_total_flops()


@exercise("train_flops", aspect="equivalence")
def test_other_shapes(launch):
    """Models of other shapes take as many operations as PyTorch counts."""
    configs = [replace(draw_config(), n_layer=layers) for layers in (1, 1, 1, 1, 1, 3)]
    calls = [{"cfg": cfg, "batch": draw(1, 2, 5), "seq": draw(2, 3, 8)} for cfg in configs]
    assert_flops(launch, calls, [counted(**call) for call in calls])


@exercise("train_flops", aspect="equivalence")
@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
def test_other_shapes_with_recomputation(launch, recompute):
    """With each kind of recomputation, models of other shapes take as many operations as PyTorch counts."""
    configs = [replace(draw_config(), n_layer=layers) for layers in (1, 1, 2)]
    calls = [{"cfg": cfg, "batch": 3, "seq": draw(1, 6, 8), "recompute": recompute} for cfg in configs]
    assert_flops(launch, calls, [counted(**call) for call in calls])


@exercise("train_flops", aspect="property")
def test_published_closed_forms(launch):
    """A known model takes within a thousandth of the published estimate without recomputation."""
    calls = [{"cfg": GPT3_175B, "batch": 2, "seq": 2048}]
    run = launch(call_each, 1, shared={"function": "train_flops", "calls": calls}, process_group=False)
    layers = 2 * 2048 * 96 * 12288**2
    due = round(72 * layers * (1 + 2048 / (6 * 12288) + 50257 / (16 * 96 * 12288)))
    found = run["values"][0][0]
    assert found == pytest.approx(due, rel=1e-3), f"train_flops of GPT-3 is {found}, and the estimate {due}"


@exercise("train_flops", aspect="property")
def test_a_tied_head_is_a_product_as_well(launch):
    """Whether the head is tied or not, and whether layers have biases, no matrix product changes."""
    calls = [
        {"cfg": replace(GPT2_SMALL, tie_embeddings=tie, bias=bias), "batch": 2, "seq": 1024}
        for tie in (True, False)
        for bias in (True, False)
    ]
    blocks = 12 * (24 * 2048 * 768**2 + 4 * 2048 * 1024 * 768)
    assert_flops(launch, calls, [3 * (blocks + 2 * 2048 * 768 * 50257)] * 4)


@exercise("train_flops", aspect="equivalence")
def test_a_product_of_two_numbers(student):
    """The rule of thumb is a product of whole numbers, however large they are."""
    n, d = (int(torch.randint(10**11, 10**13, ())) for _ in range(2))
    assert_returns(student.approx_6nd, {"n_params": n, "n_tokens": d}, 6 * n * d, why="a product of ints is an int")


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
    assert_each_raises(run, "train_flops", calls, [""] + ["ValueError"] * 4)
