"""Hidden tests of exercise `training_time`."""

import pytest
import torch

from assignments.ch01_motivation.references import counted, draw, draw_config
from course_env.rank_programs import call_each, error_types
from grader.harness import exercise


@exercise("training_time", aspect="equivalence")
@pytest.mark.parametrize(("recompute", "per_token"), [(True, 8), (False, 6)])
def test_other_trainings(student, recompute, per_token):
    """Days are work divided by speed, with and without recomputation."""
    n, d, speed = (float(1 + torch.rand(())) for _ in range(3))
    gpus = draw(1, 7, 640)
    days = student.training_days(n * 1e8, d * 1e9, gpus, speed * 1e13, recompute=recompute)
    assert days == pytest.approx(per_token * n * d * 1e17 / (gpus * speed * 1e13) / 86_400, rel=1e-12)


@exercise("training_time", aspect="equivalence")
@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
def test_utilisation_of_other_models(student, recompute):
    """For models of other shapes both utilisations follow from the operations that PyTorch counts."""
    cfg, seq, gpus = draw_config(), draw(2, 5, 8), draw(2, 3)
    speed = 1e4 * float(1 + torch.rand(()))
    model = speed * counted(cfg, 1, seq) / seq / (gpus * 1e10)
    assert student.mfu(speed, cfg, seq, gpus, 1e10) == pytest.approx(model, rel=1e-12)
    hardware = speed * counted(cfg, 1, seq, recompute) / seq / (gpus * 1e10)
    assert student.hfu(speed, cfg, seq, gpus, 1e10, recompute=recompute) == pytest.approx(hardware, rel=1e-12)


@exercise("training_time", aspect="property")
def test_longer_sequences_need_more_for_each_token(student):
    """Attention's share of a token's operations grows with the sequence, so at equal speed MFU also grows."""
    cfg = draw_config()
    short, long = (student.mfu(1e4, cfg, seq, 1, 1e10) for seq in (2, 8))
    assert long > short
    assert student.hfu(1e4, cfg, 8, 1, 1e10) > student.hfu(1e4, cfg, 8, 1, 1e10, recompute="selective") > long


@exercise("training_time", aspect="robustness")
def test_negative_sizes_are_refused(launch):
    """Negative sizes raise ValueError."""
    good = {"n_params": 1e9, "n_tokens": 1e9, "n_gpus": 8, "flops_per_gpu": 1e14}
    calls = [good | {name: -1} for name in good]
    run = launch(call_each, 1, shared={"function": "training_days", "calls": calls}, process_group=False)
    assert error_types(run["errors"][0]) == ["ValueError"] * 4
