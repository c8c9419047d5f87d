"""Public tests of exercise `communication`."""

from fractions import Fraction

import pytest

from assignments.ch03_overview_of_parallelism.references_communication import CFG, assert_bytes
from course_env.layout import Layout
from course_env.rank_programs import call_each, error_types
from grader.harness import exercise

A = 8 * 16 * 2  # bytes of one sequence's activations


@exercise("communication", aspect="equivalence")
def test_one_accelerator_sends_nothing(launch):
    """A single accelerator sends nothing, whatever ZeRO and the schedule are."""
    nothing = {"dp": 0, "tp": 0, "pp": 0}
    assert_bytes(launch, [(Layout(zero=zero, n_micro=3), {"n_params": 100}, nothing) for zero in range(4)])


@exercise("communication", aspect="equivalence")
@pytest.mark.parametrize(("zero", "units"), [(0, 2), (1, 2), (2, 5), (3, 12)])
def test_data_parallelism_by_zero(launch, zero, units):
    """With 4 micro-batches, ZeRO 0 and 1 send the parameters 2 (N - 1) / N times, ZeRO 2 5 (N - 1) / N, ZeRO 3 12 (N - 1) / N."""
    layouts = [Layout(dp=dp, zero=zero, n_micro=4) for dp in (2, 3, 8)]
    cases = [
        (one, {"n_params": 1001}, {"dp": units * Fraction(one.dp - 1, one.dp) * 2002, "tp": 0, "pp": 0})
        for one in layouts
    ]
    assert_bytes(launch, cases)


@exercise("communication", aspect="equivalence")
def test_tensor_parallelism_pays_for_every_layer(launch):
    """Each layer all-reduces its activations four times for every micro-batch, six times with full recomputation."""
    four = 6 * 3 * 4 * 2 * Fraction(3, 4) * 2 * A
    cases = [
        (Layout(tp=4, micro_batch=2, n_micro=3), {"n_params": 1}, {"tp": four, "dp": 0, "pp": 0}),
        (Layout(tp=4, micro_batch=2, n_micro=3, sp=True), {"n_params": 1}, {"tp": four, "dp": 0, "pp": 0}),
        (Layout(tp=4, micro_batch=2, n_micro=3, recompute="selective"), {"n_params": 1}, {"tp": four}),
        (Layout(tp=4, micro_batch=2, n_micro=3, recompute="full"), {"n_params": 1}, {"tp": four * Fraction(3, 2)}),
    ]
    assert_bytes(launch, cases)


@exercise("communication", aspect="equivalence")
def test_pipelines_send_to_their_neighbours(launch):
    """The first and the last stage have one neighbour, those between have two; each micro-batch crosses each border."""
    cases = [
        (Layout(pp=3, n_micro=4), {"n_params": 1, "stage": stage}, {"pp": 4 * neighbours * A, "tp": 0, "dp": 0})
        for stage, neighbours in enumerate((1, 2, 1))
    ]
    cases.append((Layout(pp=2, tp=2, sp=True, n_micro=4), {"n_params": 1}, {"pp": 2 * A}))
    assert_bytes(launch, cases)


@exercise("communication", aspect="property")
def test_a_layer_belongs_to_one_stage(launch):
    """A stage pays for its own layers: three stages have two each."""
    due = 2 * 4 * 4 * 2 * Fraction(1, 2) * A
    assert_bytes(launch, [(Layout(tp=2, pp=3, n_micro=4), {"n_params": 1, "stage": 1}, {"tp": due})])


@exercise("communication", aspect="property")
def test_wider_values_cost_more(launch):
    """All bytes are proportional to the width of a value."""
    layout = Layout(tp=2, pp=2, dp=2)
    cases = [
        (layout, {"n_params": 50, "bytes_per_value": w}, {"dp": 50 * w, "tp": 3 * 4 * A // 2 * w, "pp": A // 2 * w})
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
    ]
    run = launch(call_each, 1, shared={"function": "comm_bytes_per_step", "calls": calls}, process_group=False)
    assert error_types(run["errors"][0]) == ["ValueError"] * 3
