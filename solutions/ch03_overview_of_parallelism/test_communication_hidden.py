"""Hidden tests of exercise `communication`."""

from fractions import Fraction

import torch

from assignments.ch03_overview_of_parallelism import programs
from assignments.ch03_overview_of_parallelism.references_communication import assert_bytes
from course_env.gpt_config import GPTConfig
from course_env.layout import Layout
from grader.harness import exercise


def draw(*choices):
    """Return one of the choices."""
    return choices[int(torch.randint(len(choices), ()))]


def due(cfg, layout, n_params, stage, width):
    """Return the bytes of each kind, one operation at a time."""
    sent = {"dp": Fraction(0), "tp": Fraction(0), "pp": Fraction(0)}
    half = {kind: Fraction(ranks - 1, ranks) for kind, ranks in (("dp", layout.dp), ("tp", layout.tp))}
    block = layout.micro_batch * cfg.max_seq * cfg.d_model * width
    forward, backward = ["gather", "scatter"], ["gather", "scatter", *(["gather"] if layout.sp else [])]
    passes = [forward, backward, *([forward] if layout.recompute == "full" else [])]
    for _ in range(layout.n_micro):
        for _ in range(2 * cfg.n_layer // layout.pp):  # two pairs of split layers in each block
            for operation in passes:
                sent["tp"] += len(operation) * half["tp"] * block
        for has_neighbour in (stage > 0, stage < layout.pp - 1):
            sent["pp"] += Fraction(block * has_neighbour, layout.tp if layout.sp else 1)
        sent["dp"] += {2: 1, 3: 3}.get(layout.zero, 0) * half["dp"] * n_params * width
    sent["dp"] += {0: 2, 1: 2, 2: 1, 3: 0}[layout.zero] * half["dp"] * n_params * width
    return sent


@exercise("communication", aspect="equivalence")
def test_other_layouts(launch):
    """Layouts of other shapes send what their operations add up to."""
    cases = []
    cfg = GPTConfig(vocab_size=40, n_layer=12, n_head=4, d_model=24, max_seq=10)
    for _ in range(30):
        tp, pp = draw(1, 2, 3, 4), draw(1, 2, 3, 4)
        layout = Layout(
            tp=tp,
            pp=pp,
            dp=draw(1, 2, 5),
            zero=draw(0, 1, 2, 3),
            micro_batch=draw(1, 3),
            n_micro=draw(1, 4, 7),
            sp=tp > 1 and draw(True, False),
            recompute=draw("none", "selective", "full"),
        )
        more = {"n_params": draw(10, 999), "stage": draw(*range(pp)), "bytes_per_value": draw(2, 4)}
        cases.append((layout, more, due(cfg, layout, more["n_params"], more["stage"], more["bytes_per_value"])))
    assert_bytes(launch, cases, cfg=cfg)


@exercise("communication", aspect="property")
def test_running_ranks_send_what_the_formula_says(launch):
    """When ranks average that many gradients in a real launch, they send as many bytes as the formula says."""
    numel, world_size = 20_004, 4
    run = launch(programs.average, world_size, per_rank={"x": [torch.randn(numel) for _ in range(world_size)]})
    total = sum(run["x"])
    for mean in run["y"]:
        assert torch.allclose(mean, total / world_size, rtol=1e-5, atol=1e-6)
    sent = run.comm.bytes_sent_per_rank()
    layout = Layout(dp=world_size)
    more = {"n_params": numel, "bytes_per_value": 4}
    cfg = GPTConfig(vocab_size=8, n_layer=1, n_head=1, d_model=4, max_seq=4)
    assert_bytes(launch, [(layout, more, {"dp": one}) for one in sent], cfg=cfg)


@exercise("communication", aspect="robustness")
def test_large_numbers_are_exact(launch):
    """Bytes of very large models are exact fractions, not rounded."""
    cfg = GPTConfig(vocab_size=8, n_layer=1, n_head=1, d_model=4, max_seq=4)
    n_params = 10**17 + 1
    assert_bytes(launch, [(Layout(dp=3), {"n_params": n_params}, {"dp": Fraction(4, 3) * 2 * n_params})], cfg=cfg)
