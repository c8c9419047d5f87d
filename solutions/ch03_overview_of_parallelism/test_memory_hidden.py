"""Hidden tests of exercise `memory`."""

import pytest
import torch

from assignments.ch03_overview_of_parallelism.references_memory import assert_reports
from course_env.gpt_config import GPTConfig
from course_env.layout import Layout
from course_env.rank_programs import call_each, error_types
from grader.harness import exercise


def draw(*choices):
    """Return one of the choices."""
    return choices[int(torch.randint(len(choices), ()))]


@exercise("memory", aspect="equivalence")
@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
@pytest.mark.parametrize("sequence_parallel", [False, True])
def test_activations_of_other_layers(student, recompute, sequence_parallel):
    """Layers of other sizes keep what the published table says."""
    t, s, b = draw(2, 4, 8), draw(16, 24, 40), draw(1, 3)
    a, h = t * draw(1, 2), t * draw(8, 16, 24)
    whole = {"none": 34 * s * b * h + 5 * a * s * s * b, "selective": 34 * s * b * h, "full": 2 * s * b * h}[recompute]
    assert student.activation_bytes_per_layer(s, b, h, a, recompute=recompute) == whole
    split = whole if recompute == "full" else whole // t + (0 if sequence_parallel else 10 * s * b * h * (t - 1) // t)
    found = student.activation_bytes_per_layer(s, b, h, a, t, sequence_parallel=sequence_parallel, recompute=recompute)
    assert found == split


@exercise("memory", aspect="equivalence")
def test_what_other_gpus_hold(launch):
    """Models and layouts of other shapes hold what they are cut into."""
    cases = []
    for _ in range(12):
        tp, pp = draw(1, 2, 4), draw(1, 2, 3)
        cfg = GPTConfig(
            vocab_size=draw(40, 51, 97),
            n_layer=pp * draw(1, 2),
            n_head=8,
            n_kv_head=draw(4, 8),
            d_model=draw(16, 32),
            d_ff=draw(24, 64),
            max_seq=draw(8, 12),
            tie_embeddings=draw(True, False),
            bias=draw(True, False),
        )
        dp, b = draw(1, 2, 5), draw(1, 2)
        layout = Layout(tp=tp, pp=pp, dp=dp, zero=draw(0, 1, 2, 3), micro_batch=b, n_micro=draw(1, 2, 6))
        sbh, core = cfg.max_seq * b * cfg.d_model, 5 * 8 * cfg.max_seq**2 * b
        cases.append((cfg, layout, draw(*range(pp)), 10 * sbh + 24 * sbh // tp + core // tp))
    assert_reports(launch, cases)


@exercise("memory", aspect="property")
def test_a_tied_head_is_held_twice(launch):
    """Where the head is tied, the last stage holds a copy of the embedding, unless it is the only stage."""
    cfg = GPTConfig(vocab_size=50, n_layer=2, n_head=2, d_model=8, max_seq=4)
    one = 34 * 4 * 8 + 5 * 2 * 16
    assert_reports(launch, [(cfg, Layout(), 0, one), (cfg, Layout(pp=2), 0, one), (cfg, Layout(pp=2), 1, one)])


@exercise("memory", aspect="robustness")
def test_other_arguments_are_refused(launch):
    """Each argument is checked by itself."""
    good = {"n_params": 10, "dp": 2, "zero": 1}
    calls = [good | {"dp": 0}, good | {"zero": 4}, good | {"zero": -1}, good | {"n_params": -1}, good]
    run = launch(call_each, 1, shared={"function": "zero_bytes", "calls": calls}, process_group=False)
    assert error_types(run["errors"][0]) == ["ValueError"] * 4 + [""]
    good = {"s": 6, "b": 1, "h": 8, "a": 4, "t": 4}
    calls = [good | {"h": 6}, good | {"a": 6}, good | {"sequence_parallel": True}, good]
    run = launch(call_each, 1, shared={"function": "activation_bytes_per_layer", "calls": calls}, process_group=False)
    assert error_types(run["errors"][0]) == ["ValueError"] * 3 + [""]
