"""Public tests of exercise `memory`."""

from dataclasses import replace

import pytest

from assignments.ch03_overview_of_parallelism.references_memory import assert_reports
from course_env.gpt_config import GPT2_SMALL, GPTConfig
from course_env.layout import Layout
from course_env.rank_programs import call_each, error_types
from grader.harness import exercise

MIB = 2**20
OF_22B = {"s": 2048, "b": 4, "h": 6144, "a": 64}
SMALL = GPTConfig(vocab_size=40, n_layer=6, n_head=4, n_kv_head=2, d_model=16, max_seq=8)


@exercise("memory", aspect="equivalence")
@pytest.mark.parametrize(
    ("tricks", "mib"),
    [
        ({}, 6752),
        ({"t": 8}, 1264),
        ({"t": 8, "sequence_parallel": True}, 844),
        ({"t": 8, "sequence_parallel": True, "recompute": "selective"}, 204),
        ({"t": 8, "recompute": "full"}, 96),
    ],
)
def test_activations_of_a_layer(student, tricks, mib):
    """A layer of a 22-billion-parameter model keeps 6752 MiB alone, 1264 on 8 ranks, 844, 204 or 96 with further tricks."""
    assert student.activation_bytes_per_layer(**OF_22B, **tricks) == mib * MIB


@exercise("memory", aspect="equivalence")
@pytest.mark.parametrize(("zero", "gigabytes"), [(0, 120), (1, 31.40625), (2, 16.640625), (3, 1.875)])
def test_states_of_a_model_by_zero(student, zero, gigabytes):
    """7.5 billion parameters on 64 ranks take 120 GB each, or 31.4, 16.6 and 1.9 with ZeRO 1, 2 and 3."""
    assert sum(student.zero_bytes(7_500_000_000, 64, zero)) == gigabytes * 10**9


@exercise("memory", aspect="equivalence")
def test_what_a_gpu_holds(launch):
    """Parameters are those of a model that is really cut; activations are those of the micro-batches in flight."""
    flat = 34 * 8 * 2 * 16 + 5 * 4 * 64 * 2  # of two sequences of 8 tokens
    split = 10 * 8 * 2 * 16 + 24 * 8 * 16 + 5 * 2 * 64 * 2
    cases = [
        (SMALL, Layout(micro_batch=2), 0, flat),
        (SMALL, Layout(micro_batch=2, tp=2), 0, split),
        (SMALL, Layout(micro_batch=2, tp=2, pp=3, n_micro=4, dp=2, zero=1), 0, split),
        (SMALL, Layout(micro_batch=2, tp=2, pp=3, n_micro=4, dp=3, zero=2), 1, split),
        (
            replace(SMALL, tie_embeddings=False, vocab_size=41),
            Layout(micro_batch=2, tp=2, pp=2, dp=3, zero=3),
            1,
            split,
        ),
    ]
    assert_reports(launch, cases)


@exercise("memory", aspect="property")
def test_the_first_stage_is_the_fullest_in_1f1b(launch):
    """Stage d of p has p - d micro-batches in flight, or all of them if there are fewer; with GPipe always all."""
    one = 34 * 8 * 16 + 5 * 4 * 64
    cases = [
        (SMALL, Layout(pp=3, n_micro=n_micro, schedule=schedule), stage, one)
        for n_micro in (1, 2, 8)
        for schedule in ("1f1b", "gpipe")
        for stage in range(3)
    ]
    assert_reports(launch, cases)


@exercise("memory", aspect="property")
def test_zero_shares_out_what_it_says(student):
    """ZeRO 1 cuts the optimizer's states, 2 the gradients as well, 3 also the parameters; pieces are rounded up."""
    assert tuple(student.zero_bytes(1001, 4, 0)) == (2002, 2002, 12012)
    assert tuple(student.zero_bytes(1001, 4, 1)) == (2002, 2002, 12 * 251)
    assert tuple(student.zero_bytes(1001, 4, 2)) == (2002, 2 * 251, 12 * 251)
    assert tuple(student.zero_bytes(1001, 4, 3)) == (2 * 251, 2 * 251, 12 * 251)


@exercise("memory", aspect="robustness")
def test_what_cannot_be_laid_out_is_refused(launch):
    """A pp that cuts a layer, a tp that cuts a head, and a stage that does not exist raise ValueError."""
    calls = [
        {"cfg": SMALL, "layout": Layout(pp=4)},
        {"cfg": SMALL, "layout": Layout(tp=4)},
        {"cfg": SMALL, "layout": Layout(pp=2), "stage": 2},
        {"cfg": GPT2_SMALL, "layout": Layout(pp=2), "stage": 1},
    ]
    run = launch(call_each, 1, shared={"function": "memory_per_gpu", "calls": calls}, process_group=False)
    assert error_types(run["errors"][0]) == ["ValueError"] * 3 + [""]
    calls = [OF_22B | {"t": 5}, OF_22B | {"sequence_parallel": True}, OF_22B | {"recompute": "some"}, OF_22B | {"b": 0}]
    run = launch(call_each, 1, shared={"function": "activation_bytes_per_layer", "calls": calls}, process_group=False)
    assert error_types(run["errors"][0]) == ["ValueError"] * 4
