"""Public tests of exercise `training_time`."""

from dataclasses import replace

import pytest
import torch

from assignments.ch01_motivation.references import SMALL, counted
from course_env.gpt_config import GPT3_175B
from course_env.rank_programs import call_each, error_types
from grader.harness import exercise

GPUS, PEAK = 1024, 312e12  # NVIDIA A100, dense bf16


@exercise("training_time", aspect="equivalence")
def test_days_of_known_trainings(student):
    """175 billion parameters take 33.9 days on 1024 GPUs, a trillion 83.2 days on 3072."""
    assert student.training_days(175e9, 300e9, 1024, 140e12) == pytest.approx(33.91, abs=0.005)
    assert student.training_days(1e12, 450e9, 3072, 163e12) == pytest.approx(83.21, abs=0.005)


@exercise("training_time", aspect="equivalence")
def test_without_recomputation_a_quarter_is_saved(student):
    """Without recomputation a token takes 6 operations per parameter, with it 8."""
    n, d, gpus, speed = (float(1 + torch.rand(())) for _ in range(4))
    days = student.training_days(n * 1e9, d * 1e11, round(100 * gpus), speed * 1e14, recompute=False)
    assert days == pytest.approx(6 * n * d * 1e20 / (round(100 * gpus) * speed * 1e14) / 86_400, rel=1e-12)


@exercise("training_time", aspect="equivalence")
@pytest.mark.parametrize("seq", [1, 8])
def test_utilisation_of_a_small_model(student, seq):
    """MFU counts what the model needs for a token, HFU also what is computed again."""
    speed = 1e3 * float(1 + torch.rand(()))
    assert student.mfu(speed, SMALL, seq, 4, 1e9) == pytest.approx(
        speed * counted(SMALL, 1, seq) / seq / 4e9, rel=1e-12
    )
    for kind in ("none", "selective", "full"):
        needed = counted(SMALL, 1, seq, kind) / seq
        found = student.hfu(speed, SMALL, seq, 4, 1e9, recompute=kind)
        assert found == pytest.approx(speed * needed / 4e9, rel=1e-12), f"hfu with recompute={kind!r}"


@exercise("training_time", aspect="property")
def test_mfu_does_not_reward_work_done_twice(student):
    """At equal tokens per second, recomputation leaves MFU as it is; full recomputation makes HFU nearly 4/3 of MFU."""
    cfg = replace(GPT3_175B, n_layer=24)  # counting all 96 takes seconds
    speed = 140e12 * GPUS / counted(cfg, 1, 2048, "full") * 2048
    model = student.mfu(speed, cfg, 2048, GPUS, PEAK)
    hardware = student.hfu(speed, cfg, 2048, GPUS, PEAK)
    assert hardware == pytest.approx(140 / 312, rel=1e-9)
    assert 1.32 < hardware / model < 4 / 3
    assert student.hfu(speed, cfg, 2048, GPUS, PEAK, recompute="none") == pytest.approx(model, rel=1e-12)


@exercise("training_time", aspect="robustness")
def test_nothing_takes_no_time(launch):
    """Zero parameters, tokens, accelerators or speed raise ValueError."""
    good = {"n_params": 1e9, "n_tokens": 1e9, "n_gpus": 8, "flops_per_gpu": 1e14}
    calls = [good | {name: 0} for name in good] + [good]
    run = launch(call_each, 1, shared={"function": "training_days", "calls": calls}, process_group=False)
    assert error_types(run["errors"][0]) == ["ValueError"] * 4 + [""]
