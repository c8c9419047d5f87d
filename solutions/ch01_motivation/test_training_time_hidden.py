"""Hidden tests of exercise `training_time`."""

from dataclasses import replace

import pytest
import torch

from assignments.ch01_motivation.programs import call_each
from assignments.ch01_motivation.references import draw, draw_config
from assignments.ch01_motivation.references_training_time import assert_days, assert_utilisation
from grader.harness import assert_each_raises, exercise


@exercise("training_time", aspect="equivalence")
@pytest.mark.parametrize(("recompute", "per_token"), [(True, 8), (False, 6)])
def test_other_trainings(launch, recompute, per_token):
    """Days are work divided by speed, with and without recomputation."""
    n, d, speed = (float(1 + torch.rand(())) for _ in range(3))
    gpus = draw(7, 640)
    sizes = {"n_params": n * 1e8, "n_tokens": d * 1e9, "n_gpus": gpus, "flops_per_gpu": speed * 1e13}
    days = per_token * n * d * 1e17 / (gpus * speed * 1e13) / 86_400
    assert_days(launch, [sizes | {"recompute": recompute}], [days])


@exercise("training_time", aspect="equivalence")
@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
def test_utilisation_of_other_models(launch, recompute):
    """For models of other shapes both utilisations follow from the operations that PyTorch counts."""
    cfg = replace(draw_config(), n_layer=draw(1, 2))
    speed = 1e4 * float(1 + torch.rand(()))
    call = {"tokens_per_s": speed, "cfg": cfg, "seq": draw(2, 5, 8), "n_gpus": draw(2, 3), "peak": 1e10}
    assert_utilisation(launch, "mfu", [call])
    assert_utilisation(launch, "hfu", [call | {"recompute": recompute}])


@exercise("training_time", aspect="property")
def test_longer_sequences_need_more_for_each_token(launch):
    """Attention's share of a token's operations grows with the sequence, so at equal speed MFU also grows."""
    call = {"tokens_per_s": 1e4, "cfg": replace(draw_config(), n_layer=1), "n_gpus": 1, "peak": 1e10}
    assert_utilisation(launch, "mfu", [call | {"seq": seq} for seq in (2, 8)])


@exercise("training_time", aspect="robustness")
def test_negative_sizes_are_refused(launch):
    """Negative sizes raise ValueError."""
    good = {"n_params": 1e9, "n_tokens": 1e9, "n_gpus": 8, "flops_per_gpu": 1e14}
    calls = [good | {name: -1} for name in good]
    run = launch(call_each, 1, shared={"function": "training_days", "calls": calls}, process_group=False)
    assert_each_raises(run, "training_days", calls, ["ValueError"] * 4)
