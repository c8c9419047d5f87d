"""Public tests of exercise `communication`."""

from fractions import Fraction

import pytest

from assignments.ch03_overview_of_parallelism.references_communication import CFG, assert_bytes
from course_env.layout import Layout
from course_env.rank_programs import call_each
from grader.harness import assert_each_raises, exercise

ONE = {"n_params": 1}


@exercise("communication", aspect="equivalence")
def test_one_accelerator_sends_nothing(launch):
    """A single accelerator sends nothing, whatever ZeRO and the schedule are."""
    nothing = {"dp": 0, "tp": 0, "pp": 0}
    assert_bytes(launch, [(Layout(zero=zero, n_micro=3), {"n_params": 100}, nothing) for zero in range(4)])


@exercise("communication", aspect="equivalence")
@pytest.mark.parametrize(
    ("zero", "due", "mistakes"),
    [
        (
            *(0, (2002, Fraction(8008, 3), Fraction(7007, 2))),
            {
                "an all-reduce is a reduce-scatter and an all-gather": (1001, Fraction(4004, 3), Fraction(7007, 4)),
                "gradients are added up on the rank, and sent once a step": (8008, Fraction(32032, 3), 14014),
            },
        ),
        (
            *(1, (2002, Fraction(8008, 3), Fraction(7007, 2))),
            {"the updated parameters have to reach all ranks": (1001, Fraction(4004, 3), Fraction(7007, 4))},
        ),
        (
            *(2, (5005, Fraction(20020, 3), Fraction(35035, 4))),
            {
                "with 4 micro-batches there is no room for whole gradients between them": (
                    *(2002, Fraction(8008, 3), Fraction(7007, 2)),
                ),
                "parameters change once a step, and are gathered then": (8008, Fraction(32032, 3), 14014),
            },
        ),
        (
            *(3, (12012, 16016, 21021)),
            {
                "there are 4 micro-batches, and no whole parameters or gradients between them": (
                    *(3003, 4004, Fraction(21021, 4)),
                ),
                "parameters are gathered again for the backward pass": (8008, Fraction(32032, 3), 14014),
                "parameters are never kept whole, and not gathered after the update": (
                    *(13013, Fraction(52052, 3), Fraction(91091, 4)),
                ),
            },
        ),
    ],
)
def test_data_parallelism_by_zero(launch, zero, due, mistakes):
    """With 4 micro-batches and 2 ranks, 1001 parameters cost ZeRO 0 and 1 2002 bytes, ZeRO 2 5005 and ZeRO 3 12012."""
    cases = [
        (
            *(Layout(dp=dp, zero=zero, n_micro=4), {"n_params": 1001}, {"dp": due[n], "tp": 0, "pp": 0}),
            {("dp", values[n]): words for words, values in mistakes.items()},
        )
        for n, dp in enumerate((2, 3, 8))
    ]
    assert_bytes(launch, cases)


AGAIN = "with sp a rank kept only its part of each pair's input, and gathers it again in the backward pass"


@exercise("communication", aspect="equivalence")
@pytest.mark.parametrize(
    ("how", "due", "mistakes"),
    [
        (
            {},
            55_296,
            {27_648: "half of it; an all-reduce is a reduce-scatter and an all-gather, and a block has two pairs"},
        ),
        ({"recompute": "selective"}, 55_296, {82_944: "selective recomputation does nothing again that is sent"}),
        ({"recompute": "full"}, 82_944, {55_296: "with full recomputation the forward pass is done once more"}),
        ({"sp": True}, 69_120, {55_296: AGAIN, 82_944: "the input is gathered again, and nothing is scattered again"}),
        ({"sp": True, "recompute": "selective"}, 69_120, {55_296: AGAIN}),
        (
            *({"sp": True, "recompute": "full"}, 96_768),
            {
                82_944: AGAIN,
                69_120: "with full recomputation the forward pass is done once more",
                103_680: "recomputation is a forward pass: no gather of a backward pass in it",
            },
        ),
    ],
)
def test_tensor_parallelism_pays_for_every_layer(launch, how, due, mistakes):
    """Six layers on four ranks send 55296 bytes for three micro-batches, with sequence parallelism 69120, and more if recomputed."""
    signs = {("tp", value): words for value, words in mistakes.items()}
    layout = Layout(tp=4, micro_batch=2, n_micro=3, **how)
    assert_bytes(launch, [(layout, ONE, {"tp": due, "dp": 0, "pp": 0}, signs)])


@exercise("communication", aspect="equivalence")
def test_pipelines_send_to_their_neighbours(launch):
    """The first and the last stage have one neighbour, those between have two; each micro-batch crosses each border."""
    one_way = {("pp", 1024): "the stage between sends activations on and gradients back"}
    both = {("pp", 2048): "a stage at an end has one neighbour"}
    part = {("pp", 1024): "with sp each rank sends its part of the sequence"}
    whole = {("pp", 512): "without sp each tensor-parallel rank sends the whole"}
    cases = [
        (Layout(pp=3, n_micro=4), ONE | {"stage": 0}, {"pp": 1024, "tp": 0, "dp": 0}, both),
        (Layout(pp=3, n_micro=4), ONE | {"stage": 1}, {"pp": 2048, "tp": 0, "dp": 0}, one_way),
        (Layout(pp=3, n_micro=4), ONE | {"stage": 2}, {"pp": 1024, "tp": 0, "dp": 0}, both),
        (Layout(pp=2, tp=2, n_micro=4), ONE, {"pp": 1024}, whole),
        (Layout(pp=2, tp=2, sp=True, n_micro=4), ONE, {"pp": 512}, part),
    ]
    assert_bytes(launch, cases)


@exercise("communication", aspect="property")
def test_a_layer_belongs_to_one_stage(launch):
    """A stage pays for its own layers: three stages have two each."""
    signs = {("tp", 24_576): "a stage has a third of the layers"}
    assert_bytes(launch, [(Layout(tp=2, pp=3, n_micro=4), ONE | {"stage": 1}, {"tp": 8192}, signs)])


@exercise("communication", aspect="property")
def test_wider_values_cost_more(launch):
    """All bytes are proportional to the width of a value."""
    layout = Layout(tp=2, pp=2, dp=2)
    cases = [
        (layout, {"n_params": 50, "bytes_per_value": w}, {"dp": 50 * w, "tp": 1536 * w, "pp": 128 * w})
        for w in (1, 2, 4, 8)
    ]
    assert_bytes(launch, cases)


@exercise("communication", aspect="robustness")
def test_stages_that_are_none_are_refused(launch):
    """A pp that cuts a layer, and a stage outside the pipeline, raise ValueError."""
    calls = [
        {"cfg": CFG, "layout": Layout(pp=4), "n_params": 1},
        {"cfg": CFG, "layout": Layout(pp=2), "n_params": 1, "stage": 2},
        {"cfg": CFG, "layout": Layout(pp=2), "n_params": 1, "stage": -1},
        {"cfg": CFG, "layout": Layout(pp=2), "n_params": 1, "stage": 1},
    ]
    run = launch(call_each, 1, shared={"function": "comm_bytes_per_step", "calls": calls}, process_group=False)
    assert_each_raises(run, "comm_bytes_per_step", calls, ["ValueError"] * 3 + [""])
