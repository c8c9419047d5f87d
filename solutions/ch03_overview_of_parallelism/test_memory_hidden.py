"""Hidden tests of exercise `memory`."""

from dataclasses import replace

import pytest
import torch

from assignments.ch03_overview_of_parallelism.references_memory import assert_reports
from course_env.gpt_config import GPTConfig
from course_env.layout import Layout, MemReport
from course_env.rank_programs import call_each
from course_env.tiny_gpt import TinyGPT
from grader.harness import assert_each_raises, assert_returns, exercise

# A linear layer splits its rows (outputs) and with them its bias, or its columns (inputs); the vocabulary is split by rows.
SPLIT = (
    *("token_embedding.weight", "head.weight", "qkv.weight", "qkv.bias", "up.weight", "up.bias"),
    *("output.weight", "down.weight"),
)


def draw(*choices):
    """Return one of the choices."""
    return choices[int(torch.randint(len(choices), ()))]


def is_on(name, cfg, layout, stage):
    """Whether a stage holds the parameter of this name."""
    first = stage == 0
    last = stage + 1 == layout.pp
    if name.startswith("blocks."):
        return int(name.split(".")[1]) // (cfg.n_layer // layout.pp) == stage
    is_tied_head = name == "token_embedding.weight" and cfg.tie_embeddings
    return first if name.endswith("embedding.weight") and not (is_tied_head and last) else last


def parameters_of(cfg, layout, stage):
    """Return how many parameters one rank of a stage holds of a model that is really made, cut and split."""
    padded = -(-cfg.vocab_size // layout.tp) * layout.tp
    model = TinyGPT(replace(cfg, vocab_size=padded))
    named = [(name, p) for name, p in model.named_parameters() if is_on(name, cfg, layout, stage)]
    return sum(p.numel() // (layout.tp if name.endswith(SPLIT) else 1) for name, p in named)


def kept(sizes, *, sequence_parallel, recompute):
    """Return the bytes that a layer keeps, one tensor after the other. sizes: s, b, h, a, t, k and f."""
    s, b, h, a, t, k, f = sizes
    if recompute == "full":
        return 2 * s * b * h // (t if sequence_parallel else 1)
    between = t if sequence_parallel else 1
    parts = [(2 * s * b * h, between)] * 4  # inputs of two LayerNorms, of query-key-value and of up
    parts += [(s * b * h, between)] * 2  # two masks
    parts += [(2 * s * b * h, t)] * 2  # queries, and the output layer's input
    parts += [(2 * s * b * h * k // a, t)] * 2  # keys and values
    parts += [(2 * s * b * f, t)] * 2  # inputs of GELU and of down
    if recompute == "none":
        parts += [(size * a * s * s * b, t) for size in (2, 1, 2)]  # softmax, mask, dropout of the scores
    return sum(num_bytes // ranks for num_bytes, ranks in parts)


def due(cfg, layout, stage):
    """Return the report due."""
    n = parameters_of(cfg, layout, stage)
    piece = -(-n // layout.dp)
    in_flight = layout.n_micro if layout.schedule == "gpipe" else min(layout.n_micro, layout.pp - stage)
    sizes = (cfg.max_seq, layout.micro_batch, cfg.d_model, cfg.n_head, layout.tp, cfg.n_kv_head, cfg.d_ff)
    per_layer = kept(sizes, sequence_parallel=layout.sp, recompute=layout.recompute)
    return MemReport(
        parameters=2 * (piece if layout.zero == 3 else n),
        gradients=2 * (piece if layout.zero >= 2 else n),
        optimizer=12 * (piece if layout.zero >= 1 else n),
        activations=per_layer * in_flight * cfg.n_layer // layout.pp,
    )


@exercise("memory", aspect="equivalence")
@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
@pytest.mark.parametrize("sequence_parallel", [False, True])
def test_activations_of_other_layers(student, recompute, sequence_parallel):
    """Layers of other sizes keep what their operations need."""
    for k, f in ((1, None), (2, 5)):
        t, s, b, d = draw(2, 4, 8), draw(16, 24, 40), draw(1, 3), draw(8, 16, 24)
        sizes = {"s": s, "b": b, "h": 4 * t * d, "a": 4 * t, "t": t, "k": k * t, "f": None if f is None else f * t}
        how = {"sequence_parallel": sequence_parallel, "recompute": recompute}
        right = kept((s, b, 4 * t * d, 4 * t, t, k * t, 16 * t * d if f is None else f * t), **how)
        assert_returns(student.activation_bytes_per_layer, sizes | how, right)


@exercise("memory", aspect="equivalence")
def test_what_other_gpus_hold(launch):
    """Models and layouts of other shapes hold what they are cut into."""
    cases = []
    for _ in range(10):
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
        layout = Layout(
            tp=tp,
            pp=pp,
            dp=draw(1, 2, 5),
            zero=draw(0, 1, 2, 3),
            micro_batch=draw(1, 2),
            n_micro=draw(1, 2, 6),
            schedule=draw("1f1b", "gpipe"),
            sp=tp > 1 and draw(True, False),
            recompute=draw("none", "selective", "full"),
        )
        stage = draw(*range(pp))
        cases.append((cfg, layout, stage, due(cfg, layout, stage)))
    assert_reports(launch, cases)


@exercise("memory", aspect="property")
def test_a_tied_head_is_held_twice(launch):
    """Where the head is tied, the last stage holds a copy of the embedding, unless it is the only stage."""
    cfg = GPTConfig(vocab_size=50, n_layer=2, n_head=2, d_model=8, max_seq=4)
    cases = [(cfg, Layout(pp=pp), stage) for pp, stage in ((1, 0), (2, 0), (2, 1))]
    assert_reports(launch, [(*case, due(*case)) for case in cases])


@exercise("memory", aspect="property")
def test_one_rank_shares_with_nobody(student):
    """A single data-parallel rank holds everything once, whatever ZeRO and the unit are."""
    mistakes = {"with dp = 1 nothing is held twice": (2 * 60, 2 * 60, 12 * 50)}
    assert_returns(
        student.zero_bytes, {"n_params": 50, "dp": 1, "zero": 3, "unit": 10}, (100, 100, 600), mistakes=mistakes
    )
    assert_returns(
        student.zero_bytes, {"n_params": 10**18 + 1, "dp": 3, "zero": 1}, _of(10**18 + 1, -(-(10**18 + 1) // 3))
    )


def _of(whole, piece):
    return 2 * whole, 2 * whole, 12 * piece


@exercise("memory", aspect="robustness")
def test_other_arguments_are_refused(launch):
    """Each argument is checked by itself."""
    good = {"s": 6, "b": 1, "h": 8, "a": 4, "t": 4}
    wrong = [
        {"h": 6},
        {"a": 6},
        {"sequence_parallel": True},
        {"k": 2},
        {"f": 6},
        {"k": 0},
        {"s": 0},
        {"t": 0},
        {"h": 0},
    ]
    calls = [good | one for one in wrong] + [good, good | {"f": 8}]
    run = launch(call_each, 1, shared={"function": "activation_bytes_per_layer", "calls": calls}, process_group=False)
    assert_each_raises(run, "activation_bytes_per_layer", calls, ["ValueError"] * len(wrong) + ["", ""])
    cfg = GPTConfig(vocab_size=50, n_layer=4, n_head=4, n_kv_head=2, d_model=16, d_ff=6, max_seq=4)
    layouts = [Layout(tp=4), Layout(tp=2), Layout(pp=3)]
    calls = [{"cfg": cfg, "layout": layout} for layout in layouts]
    calls += [
        {"cfg": replace(cfg, d_ff=7), "layout": Layout(tp=2)},
        {"cfg": replace(cfg, n_kv_head=1), "layout": Layout(tp=2)},
    ]
    run = launch(call_each, 1, shared={"function": "memory_per_gpu", "calls": calls}, process_group=False)
    assert_each_raises(run, "memory_per_gpu", calls, ["ValueError", "", "ValueError", "ValueError", "ValueError"])
