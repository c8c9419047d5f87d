"""Hidden tests of exercise `training_time`."""

import pytest
import torch

from assignments.ch01_motivation.programs import call_each
from assignments.ch01_motivation.references import OTHERS, draw
from assignments.ch01_motivation.references_training_time import assert_days, assert_utilisation
from course_env.gpt_config import GPT2_SMALL, GPTConfig
from grader.harness import assert_each_raises, exercise

# What FlopCounterMode counts for one sequence of so many tokens, by what is computed a second time.
COUNTED = (
    (OTHERS[0], 1, {"none": 106_488, "selective": 106_776, "full": 137_880}),
    (OTHERS[1], 5, {"none": 162_240, "selective": 165_440, "full": 206_400}),
    (
        GPTConfig(vocab_size=100, n_layer=1, n_head=2, d_model=12, max_seq=8),
        5,
        {"none": 91_440, "selective": 92_640, "full": 109_920},
    ),
    (
        GPTConfig(vocab_size=41, n_layer=2, n_head=3, n_kv_head=1, d_model=18, d_ff=36, max_seq=10),
        5,
        {"none": 162_540, "selective": 166_140, "full": 209_340},
    ),
)


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
@pytest.mark.parametrize("function", ["mfu", "hfu"])
def test_utilisation_of_other_models(launch, function):
    """For models of other shapes both utilisations follow from the operations that PyTorch counts."""
    speed = {"tokens_per_s": 1e4 * float(1 + torch.rand(())), "n_gpus": draw(2, 3), "peak": 1e10}
    cases = [(speed | {"cfg": cfg, "seq": seq}, flops) for cfg, seq, flops in COUNTED]
    if function == "hfu":
        cases += [(call | {"recompute": kind}, flops) for call, flops in cases for kind in flops]
    assert_utilisation(launch, function, cases)


@exercise("training_time", aspect="property")
def test_longer_sequences_need_more_for_each_token(launch):
    """Attention's share of a token's operations grows with the sequence, so at equal speed MFU also grows."""
    call = {"tokens_per_s": 1e4, "cfg": GPT2_SMALL, "n_gpus": 1, "peak": 1e10}
    for function in ("mfu", "hfu"):
        cases = []
        for seq in (2, 1024):
            blocks, core = 12 * (24 * seq * 768**2 + 4 * seq**2 * 768), 12 * 4 * seq**2 * 768
            head = 2 * seq * 768 * 50257
            flops = {
                "none": 3 * (blocks + head),
                "selective": 3 * (blocks + head) + core,
                "full": 4 * blocks + 3 * head,
            }
            cases.append((call | {"seq": seq}, flops))
        assert_utilisation(launch, function, cases)


@exercise("training_time", aspect="robustness")
def test_negative_sizes_are_refused(launch):
    """Negative sizes raise ValueError."""
    good = {"n_params": 1e9, "n_tokens": 1e9, "n_gpus": 8, "flops_per_gpu": 1e14}
    calls = [good | {name: -1} for name in good]
    run = launch(call_each, 1, shared={"function": "training_days", "calls": calls}, process_group=False)
    assert_each_raises(run, "training_days", calls, ["ValueError"] * 4)
