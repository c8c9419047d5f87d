"""Public tests of exercise `memory`."""

from dataclasses import replace

import pytest

from assignments.ch03_overview_of_parallelism.references_memory import assert_reports
from course_env.gpt_config import GPT2_SMALL, GPTConfig
from course_env.layout import Layout, MemReport
from course_env.rank_programs import call_each
from grader.harness import assert_each_raises, assert_returns, exercise

MIB = 2**20
OF_22B = {"s": 2048, "b": 4, "h": 6144, "a": 64}
SMALL = GPTConfig(vocab_size=40, n_layer=6, n_head=4, n_kv_head=2, d_model=16, d_ff=48, max_seq=8)
SP = {"t": 8, "sequence_parallel": True}


@exercise("memory", aspect="equivalence")
@pytest.mark.parametrize(
    ("tricks", "mib", "mistakes"),
    [
        ({}, 6752, {"the scores, their softmax and its dropout are missing": 1632}),
        (
            {"t": 8},
            1264,
            {
                "tensor parallelism alone leaves some of it whole on every rank": 844,
                "the scores belong to heads, and heads are split": 5744,
            },
        ),
        (SP, 844, {"sequence parallelism splits what tensor parallelism leaves whole": 1264}),
        (SP | {"recompute": "selective"}, 204, {"selective recomputation keeps no scores": 844}),
        (
            {"t": 8, "recompute": "full"},
            96,
            {"without sequence parallelism every rank has the whole input": 12, "only the input is kept": 1264},
        ),
        (SP | {"recompute": "full"}, 12, {"with sequence parallelism a rank has only its part of the input": 96}),
        (
            {"k": 8},
            6584,
            {
                "that is with as many key heads as query heads": 6752,
                "there is a map of scores for each query head, however few key heads there are": 2104,
                "values have as few heads as keys": 6668,
            },
        ),
        ({"f": 8192}, 6240, {"that is with an inner width of 4 h": 6752}),
        ({"t": 8, "k": 8, "f": 8192}, 1179, {"that is with k = a and f = 4 h": 1264}),
    ],
)
def test_activations_of_a_layer(student, tricks, mib, mistakes):
    """A layer of a 22-billion-parameter model keeps 6752 MiB alone, 1264 on 8 ranks, 844, 204, 96 or 12 with further tricks."""
    signs = {words: value * MIB for words, value in mistakes.items()}
    assert_returns(student.activation_bytes_per_layer, OF_22B | tricks, mib * MIB, mistakes=signs)


@exercise("memory", aspect="equivalence")
@pytest.mark.parametrize(
    ("zero", "gigabytes", "mistakes"),
    [
        (0, (15, 15, 90), {"the master copy of the parameters is missing": (15, 15, 60)}),
        (1, (15, 15, 1.40625), {}),
        (2, (15, 0.234375, 1.40625), {"ZeRO 2 shares out gradients as well": (15, 15, 1.40625)}),
        (3, (0.234375, 0.234375, 1.40625), {"ZeRO 3 shares out parameters as well": (15, 0.234375, 1.40625)}),
    ],
)
def test_states_of_a_model_by_zero(student, zero, gigabytes, mistakes):
    """7.5 billion parameters on 64 ranks take 120 GB each, or 31.4, 16.6 and 1.9 with ZeRO 1, 2 and 3."""
    due = tuple(int(part * 10**9) for part in gigabytes)
    signs = {words: tuple(int(part * 10**9) for part in parts) for words, parts in mistakes.items()}
    assert_returns(student.zero_bytes, (7_500_000_000, 64, zero), due, mistakes=signs)


@exercise("memory", aspect="equivalence")
def test_what_a_gpu_holds(launch):
    """Parameters are those of a model that is cut and split; activations are those of the micro-batches in flight."""
    untied = replace(SMALL, tie_embeddings=False, vocab_size=41)
    three = {"micro_batch": 2, "tp": 2, "pp": 3, "n_micro": 4}
    cases = [
        (
            *(SMALL, Layout(micro_batch=2), 0, MemReport(**_states(31_360), activations=58_368)),
            {
                ("parameters", 32_640): "on a single stage a tied head is the embedding itself, and no copy",
                (
                    "activations",
                    67_584,
                ): "cfg says how many key heads there are, and how wide the feed-forward block is inside",
            },
        ),
        (
            *(SMALL, Layout(micro_batch=2, tp=2), 0, MemReport(**_states(16_416), activations=36_864)),
            {("parameters", 15_680): "LayerNorms, positions and the biases behind a sum are whole on every rank"},
        ),
        (
            *(SMALL, Layout(**three, dp=2, zero=1), 0),
            MemReport(parameters=6048, gradients=6048, optimizer=18_144, activations=36_864),
            {
                ("activations", 12_288): "with 1f1b several micro-batches are in flight on the first stage",
                ("activations", 49_152): "with 1f1b not all micro-batches are in flight at once",
            },
        ),
        (
            *(SMALL, Layout(**three, dp=3, zero=2), 1),
            MemReport(parameters=5152, gradients=1718, optimizer=10_308, activations=24_576),
            {
                ("gradients", 1716): "pieces are rounded up",
                ("activations", 36_864): "that is the first stage, and this one has fewer micro-batches in flight",
            },
        ),
        (
            *(SMALL, Layout(**three, dp=3, zero=2), 2),
            MemReport(parameters=5856, gradients=1952, optimizer=11_712, activations=12_288),
            {("parameters", 5216): "a tied head on another stage than the embedding needs a copy of it"},
        ),
        (
            *(untied, Layout(micro_batch=2, tp=2, pp=2, dp=3, zero=3), 1),
            MemReport(parameters=2822, gradients=2822, optimizer=16_932, activations=18_432),
            {("parameters", 2812): "41 rows of the vocabulary are padded to 42 for two ranks"},
        ),
    ]
    assert_reports(launch, cases)


def _states(num_bytes):
    return {"parameters": num_bytes, "gradients": num_bytes, "optimizer": 6 * num_bytes}


@exercise("memory", aspect="property")
@pytest.mark.parametrize(
    ("schedule", "n_micro", "in_flight"),
    [
        ("1f1b", 1, (1, 1, 1)),
        ("1f1b", 2, (2, 2, 1)),
        ("1f1b", 8, (3, 2, 1)),
        ("gpipe", 1, (1, 1, 1)),
        ("gpipe", 2, (2, 2, 2)),
        ("gpipe", 8, (8, 8, 8)),
    ],
)
def test_the_first_stage_is_the_fullest_in_1f1b(launch, schedule, n_micro, in_flight):
    """The first of three stages has at most three micro-batches in flight, the last one; with GPipe each has all."""
    layout = Layout(pp=3, n_micro=n_micro, schedule=schedule)
    states = (_states(11_456), _states(9_920), _states(11_264))
    cases = [
        (
            *(SMALL, layout, stage, MemReport(**states[stage], activations=9728 * in_flight[stage])),
            {
                ("activations", 9728): "only one micro-batch is counted",
                ("activations", 9728 * n_micro): "not all micro-batches are in flight at once",
                ("activations", 9728 * 3): "every stage counts as many micro-batches as there are stages",
            },
        )
        for stage in range(3)
    ]
    assert_reports(launch, cases)


@exercise("memory", aspect="property")
@pytest.mark.parametrize(
    ("where", "due", "mistakes"),
    [
        ((4, 0), (2002, 2002, 12012), {}),
        (
            *((4, 1), (2002, 2002, 3012)),
            {
                "pieces are rounded up": (2002, 2002, 3000),
                "parameters are what is cut into pieces, and a parameter has all of its bytes": (2002, 2002, 3003),
            },
        ),
        ((4, 2), (2002, 502, 3012), {"pieces are rounded up": (2002, 500, 3000)}),
        ((4, 3), (502, 502, 3012), {"pieces are rounded up": (500, 500, 3000)}),
        ((4, 1, 100), (2002, 2002, 3012), {"what ZeRO 1 leaves whole needs nothing beside it": (2202, 2202, 3012)}),
        (
            (1, 3, 100),
            (2002, 2002, 12012),
            {"with dp = 1 nothing is gathered, and nothing held twice": (2202, 2202, 12012)},
        ),
        (
            *((4, 2, 100), (2002, 702, 3012)),
            {
                "the gradients of a unit are whole until they are reduced": (2002, 502, 3012),
                "parameters are whole, and hold the unit already": (2202, 702, 3012),
            },
        ),
        (
            *((4, 3, 100), (702, 702, 3012)),
            {
                "the unit that is computed with is missing": (502, 502, 3012),
                "gradients of a unit are whole until they are reduced": (702, 502, 3012),
                "optimizer states are never gathered": (702, 702, 4212),
            },
        ),
    ],
)
def test_zero_shares_out_what_it_says(student, where, due, mistakes):
    """ZeRO 1 cuts the optimizer's states, 2 the gradients as well, 3 also the parameters; beside its pieces a rank has a unit whole."""
    dp, zero, *unit = where
    arguments = {"n_params": 1001, "dp": dp, "zero": zero} | ({"unit": unit[0]} if unit else {})
    assert_returns(student.zero_bytes, arguments, due, mistakes=mistakes)


@exercise("memory", aspect="robustness")
def test_what_cannot_be_laid_out_is_refused(launch):
    """A pp that cuts a layer, a tp that cuts a head, and a stage that does not exist raise ValueError."""
    calls = [
        {"cfg": SMALL, "layout": Layout(pp=4)},
        {"cfg": SMALL, "layout": Layout(tp=4)},
        {"cfg": SMALL, "layout": Layout(pp=2), "stage": 2},
        {"cfg": SMALL, "layout": Layout(pp=2), "stage": -1},
        {"cfg": GPT2_SMALL, "layout": Layout(pp=2), "stage": 1},
    ]
    run = launch(call_each, 1, shared={"function": "memory_per_gpu", "calls": calls}, process_group=False)
    assert_each_raises(run, "memory_per_gpu", calls, ["ValueError"] * 4 + [""])
    wrong = [{"t": 5}, {"sequence_parallel": True}, {"recompute": "some"}, {"b": 0}, {"k": 3}, {"a": 40}, {"f": 0}]
    calls = [OF_22B | one for one in wrong] + [OF_22B]
    run = launch(call_each, 1, shared={"function": "activation_bytes_per_layer", "calls": calls}, process_group=False)
    assert_each_raises(run, "activation_bytes_per_layer", calls, ["ValueError"] * len(wrong) + [""])
    good = {"n_params": 10, "dp": 2, "zero": 1, "unit": 3}
    wrong = [{"dp": 0}, {"zero": 4}, {"zero": -1}, {"n_params": -1, "unit": 0}, {"unit": 11}, {"unit": -1}]
    calls = [good | one for one in wrong] + [good, good | {"unit": 10}]
    run = launch(call_each, 1, shared={"function": "zero_bytes", "calls": calls}, process_group=False)
    assert_each_raises(run, "zero_bytes", calls, ["ValueError"] * len(wrong) + ["", ""])
