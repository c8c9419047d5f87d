"""Public tests of exercise `training_time`."""

from dataclasses import replace

import pytest
import torch

from assignments.ch01_motivation.programs import call_each
from assignments.ch01_motivation.references import OTHERS, SMALL
from assignments.ch01_motivation.references_training_time import assert_days, assert_utilisation
from course_env.gpt_config import GPT3_175B
from grader.harness import assert_each_raises, assert_each_returns, exercise


@exercise("training_time", aspect="equivalence")
def test_days_of_known_trainings(launch):
    """175 billion parameters take 33.9 days on 1024 GPUs, 25.4 without recomputation, and a trillion 83.2 days on 3072."""
    known = {"n_params": 175e9, "n_tokens": 300e9, "n_gpus": 1024, "flops_per_gpu": 140e12}
    calls = [
        known,
        {"n_params": 1e12, "n_tokens": 450e9, "n_gpus": 3072, "flops_per_gpu": 163e12},
        known | {"recompute": False},
        known | {"recompute": True},
    ]
    assert_days(launch, calls, [33.908, 83.207, 25.431, 33.908], rel=1e-4)


@exercise("training_time", aspect="equivalence")
@pytest.mark.parametrize("function", ["mfu", "hfu"])
def test_utilisation_of_small_models(launch, function):
    """MFU counts what the model needs for a token, HFU also what is computed again."""
    speed = {"tokens_per_s": 1e3 * float(1 + torch.rand(())), "n_gpus": 4, "peak": 1e9}
    cases = [
        (speed | {"cfg": SMALL, "seq": 8}, {"none": 509_952, "selective": 522_240, "full": 669_696}),
        (speed | {"cfg": SMALL, "seq": 3}, {"none": 182_592, "selective": 184_320, "full": 239_616}),
        (speed | {"cfg": OTHERS[0], "seq": 5}, {"none": 549_720, "selective": 556_920, "full": 712_440}),
    ]
    if function == "hfu":
        cases += [(call | {"recompute": kind}, flops) for call, flops in cases for kind in flops]
    assert_utilisation(launch, function, cases)


@exercise("training_time", aspect="property")
def test_mfu_does_not_reward_work_done_twice(launch):
    """At equal tokens per second, recomputation leaves MFU as it is; full recomputation makes HFU nearly 4/3 of MFU."""
    tokens, h, vocab = 2048, 12288, 50257
    blocks, head = 96 * (24 * tokens * h**2 + 4 * tokens**2 * h), 2 * tokens * h * vocab
    flops = {"none": 3 * (blocks + head), "full": 4 * blocks + 3 * head}
    flops["selective"] = flops["none"] + 96 * 4 * tokens**2 * h
    call = {"tokens_per_s": 1e5, "cfg": GPT3_175B, "seq": tokens, "n_gpus": 1024, "peak": 312e12}
    assert_utilisation(launch, "hfu", [(call, flops), (call | {"recompute": "none"}, flops)])
    assert_utilisation(launch, "mfu", [(call, flops)])


@exercise("training_time", aspect="property")
def test_deep_models_take_no_longer(launch):
    """The utilisation of a model of a million blocks is known at once: it is computed, and no model is made."""
    call = {"tokens_per_s": 1.0, "cfg": replace(SMALL, n_layer=10**6), "seq": 8, "n_gpus": 1, "peak": 1e12}
    run = launch(call_each, 1, shared={"function": "mfu", "calls": [call]}, process_group=False)
    assert_each_returns(run, "mfu", [call], [(10**6 * 3 * (24 * 16**2 + 4 * 8 * 16) + 3 * 2 * 16 * 40) / 1e12])


@exercise("training_time", aspect="robustness")
def test_nothing_takes_no_time(launch):
    """Zero parameters, tokens, accelerators or speed raise ValueError; less than one of them does not."""
    good = {"n_params": 1e9, "n_tokens": 1e9, "n_gpus": 8, "flops_per_gpu": 1e14}
    calls = [good | {name: 0} for name in good] + [good | {"n_tokens": 0.5}]
    run = launch(call_each, 1, shared={"function": "training_days", "calls": calls}, process_group=False)
    assert_each_raises(run, "training_days", calls, ["ValueError"] * 4 + [""])


@exercise("training_time", aspect="robustness")
@pytest.mark.parametrize("function", ["mfu", "hfu"])
def test_what_no_model_can_run_has_no_utilisation(launch, function):
    """Sequences that are longer than the position embedding, or empty, raise ValueError, and so do unknown words."""
    good = {"tokens_per_s": 1e3, "cfg": SMALL, "seq": 8, "n_gpus": 4, "peak": 1e9}
    calls = [good | {"seq": 9}, good, good | {"seq": 0}]
    calls += [good | {"recompute": "all"}] if function == "hfu" else []
    run = launch(call_each, 1, shared={"function": function, "calls": calls}, process_group=False)
    assert_each_raises(run, function, calls, ["ValueError", "", "ValueError", "ValueError"][: len(calls)])
