"""Hidden tests of exercise `kaplan`."""

import pytest

from assignments.ch01_motivation.references_kaplan import size
from course_env.rank_programs import call_each, error_types
from grader.harness import exercise


@exercise("kaplan", aspect="equivalence")
def test_the_law_of_both_sizes(launch):
    """Model and data size together follow the published joint law."""
    calls = [{"n": size(6, 12), "d": size(8, 13)} for _ in range(20)]
    run = launch(call_each, 1, shared={"function": "kaplan_loss", "calls": calls}, process_group=False)
    for call, found in zip(calls, run["values"][0], strict=True):
        expected = ((8.8e13 / call["n"]) ** (0.076 / 0.095) + 5.4e13 / call["d"]) ** 0.095
        assert found == pytest.approx(expected, rel=1e-12), f"kaplan_loss(**{call})"


@exercise("kaplan", aspect="equivalence")
def test_other_budgets(student):
    """Larger and smaller budgets are shared out by the same exponents."""
    for ratio in (size(1, 6), 1.0, 1e-3):
        expected = [ratio**0.73, ratio**0.24, ratio**0.03]
        assert list(student.compute_multipliers(ratio)) == pytest.approx(expected, rel=1e-12)


@exercise("kaplan", aspect="property")
def test_more_is_better(student):
    """The loss falls with each size, and stays above both laws of one size."""
    n, d = size(7, 10), size(9, 11)
    here = student.kaplan_loss(n=n, d=d)
    assert here > student.kaplan_loss(n=2 * n, d=d) > student.kaplan_loss(n=2 * n, d=2 * d)
    assert here > max(student.kaplan_loss(n=n), student.kaplan_loss(d=d))


@exercise("kaplan", aspect="robustness")
def test_each_size_is_checked(launch):
    """A size that is not positive is refused even if the other size is good."""
    calls = [{"n": -1.0, "d": 1e9}, {"n": 1e9, "d": -1.0}, {"n": None, "d": None}, {"n": None, "d": 1e9}]
    run = launch(call_each, 1, shared={"function": "kaplan_loss", "calls": calls}, process_group=False)
    assert error_types(run["errors"][0]) == ["ValueError"] * 3 + [""]
