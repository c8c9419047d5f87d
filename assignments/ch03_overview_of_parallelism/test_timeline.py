"""Public tests of exercise `timeline`."""

from fractions import Fraction

import pytest

from assignments.ch03_overview_of_parallelism.references_timeline import assert_runs
from course_env.rank_programs import call_each, error_types
from grader.harness import exercise

SIZES = [(1, 1, 1, 1), (4, 1, 1, 2), (4, 4, 1, 2), (3, 5, 2, 3), (5, 2, 3, 1)]


@exercise("timeline", aspect="equivalence")
@pytest.mark.parametrize("sizes", SIZES)
def test_every_pass_begins_as_soon_as_it_can(student, sizes):
    """No pass overlaps another on its stage, begins before its inputs are ready, or begins later than it could."""
    assert_runs(student.timeline(*sizes), *sizes)


@exercise("timeline", aspect="equivalence")
def test_shares_of_the_time(student):
    """Four stages without pipelining are busy a quarter of the time, with 4 micro-batches 4/7, with 8 of them 8/11."""
    assert student.utilisation(4, 4, "naive") == Fraction(1, 4)
    assert student.utilisation(4, 4, "pipelined") == Fraction(4, 7)
    assert student.utilisation(4, 8, "pipelined") == Fraction(8, 11)
    assert student.utilisation(1, 3, "pipelined") == student.utilisation(1, 3, "naive") == 1


@exercise("timeline", aspect="property")
@pytest.mark.parametrize("sizes", SIZES)
def test_the_drawing_and_the_formula_agree(student, sizes):
    """The busy time of a stage, divided by the time of the whole step, is its utilisation."""
    p, m, t_f, t_b = sizes
    stages = student.timeline(*sizes)
    step = max(slot.end for slots in stages for slot in slots)
    assert step == (m + p - 1) * (t_f + t_b)
    for slots in stages:
        busy = sum(slot.end - slot.start for slot in slots)
        assert Fraction(busy, step) == student.utilisation(p, m, "pipelined")


@exercise("timeline", aspect="robustness")
def test_nothing_takes_no_time(launch):
    """Zero stages, micro-batches or durations raise ValueError, and so does an unknown kind."""
    good = {"p": 2, "m": 2, "t_f": 1, "t_b": 2}
    calls = [good | {name: 0} for name in good]
    run = launch(call_each, 1, shared={"function": "timeline", "calls": calls}, process_group=False)
    assert error_types(run["errors"][0]) == ["ValueError"] * 4
    calls = [{"p": 0, "m": 1, "kind": "naive"}, {"p": 1, "m": 0, "kind": "naive"}, {"p": 1, "m": 1, "kind": "1f1b"}]
    run = launch(call_each, 1, shared={"function": "utilisation", "calls": calls}, process_group=False)
    assert error_types(run["errors"][0]) == ["ValueError"] * 3
