"""Public tests of exercise `timeline`."""

from fractions import Fraction

import pytest

from assignments.ch03_overview_of_parallelism.references_timeline import assert_runs
from course_env.rank_programs import call_each
from grader.harness import assert_each_raises, assert_returns, exercise

SIZES = [(1, 1, 1, 1), (4, 1, 1, 2), (4, 4, 1, 2), (3, 5, 2, 3), (5, 2, 3, 1)]


@exercise("timeline", aspect="equivalence")
@pytest.mark.parametrize("sizes", SIZES)
def test_every_pass_begins_as_soon_as_it_can(student, sizes):
    """No pass overlaps another on its stage, begins before its inputs are ready, or begins later than it could."""
    assert_runs(student.timeline(*sizes), *sizes)


@exercise("timeline", aspect="equivalence")
@pytest.mark.parametrize(
    ("arguments", "share", "mistakes"),
    [
        ((4, 4, "naive"), Fraction(1, 4), {"that is the share of a pipeline": Fraction(4, 7)}),
        (
            (4, 4, "pipelined"),
            Fraction(4, 7),
            {
                "that is the bubble, and what is left of it is due": Fraction(3, 7),
                "(p - 1) / m is relative to the ideal step, and shares of the whole step add up to 1": Fraction(1, 4),
            },
        ),
        (
            (4, 8, "pipelined"),
            Fraction(8, 11),
            {
                "that is the bubble, and what is left of it is due": Fraction(3, 11),
                "(p - 1) / m is relative to the ideal step, and shares of the whole step add up to 1": Fraction(5, 8),
                "the last stage waits for p - 1 turns, not for p": Fraction(2, 3),
            },
        ),
        ((1, 3, "pipelined"), Fraction(1), {}),
        ((1, 3, "naive"), Fraction(1), {}),
    ],
)
def test_shares_of_the_time(student, arguments, share, mistakes):
    """Four stages without pipelining are busy a quarter of the time, with 4 micro-batches 4/7, with 8 of them 8/11."""
    assert_returns(student.utilisation, arguments, share, mistakes=mistakes)


@exercise("timeline", aspect="property")
@pytest.mark.parametrize(("sizes", "step"), [*zip(SIZES, (2, 12, 21, 35, 24), strict=True)])
def test_the_drawing_and_the_formula_agree(student, sizes, step):
    """The busy time of a stage, divided by the time of the whole step, is its utilisation."""
    p, m, t_f, t_b = sizes
    stages = student.timeline(*sizes)
    ends = max(slot.end for slots in stages for slot in slots)
    assert ends == step, f"timeline(p={p}, m={m}, t_f={t_f}, t_b={t_b}) ends at {ends}, and can end at {step}"
    for number, slots in enumerate(stages):
        busy = sum(slot.end - slot.start for slot in slots)
        why = f"stage {number} of timeline{sizes} works {busy} of {step} units of time"
        assert_returns(student.utilisation, (p, m, "pipelined"), Fraction(busy, step), why=why)


@exercise("timeline", aspect="robustness")
def test_nothing_takes_no_time(launch):
    """Zero stages, micro-batches or durations raise ValueError, and so does an unknown kind."""
    good = {"p": 2, "m": 2, "t_f": 1, "t_b": 2}
    calls = [good | {name: 0} for name in good] + [good]
    run = launch(call_each, 1, shared={"function": "timeline", "calls": calls}, process_group=False)
    assert_each_raises(run, "timeline", calls, ["ValueError"] * 4 + [""])
    good = {"p": 2, "m": 2, "kind": "naive"}
    calls = [good | {"p": 0}, good | {"m": 0}, good | {"kind": "1f1b"}, good | {"p": 0, "kind": "pipelined"}, good]
    run = launch(call_each, 1, shared={"function": "utilisation", "calls": calls}, process_group=False)
    assert_each_raises(run, "utilisation", calls, ["ValueError"] * 4 + [""])
