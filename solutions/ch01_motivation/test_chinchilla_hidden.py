"""Hidden tests of exercise `chinchilla`."""

import pytest
import torch

from assignments.ch01_motivation.references_chinchilla import assert_nothing_is_better, between, draw_fit, loss
from course_env.rank_programs import call_each, error_types
from course_env.scaling import CHINCHILLA_REPLICATED
from grader.harness import exercise


@exercise("chinchilla", aspect="equivalence")
def test_losses_with_other_constants(student):
    """The loss follows whatever constants are passed."""
    fit, n, d = draw_fit(), 10 ** between(7, 12), 10 ** between(9, 13)
    assert student.chinchilla_loss(n, d, fit) == pytest.approx(loss(n, d, fit), rel=1e-12)


@exercise("chinchilla", aspect="equivalence")
@pytest.mark.parametrize("decades", [(16, 20), (24, 28)])
def test_the_best_use_of_other_budgets(student, decades):
    """Small and large budgets are used best, with constants of any kind."""
    for fit in (draw_fit(), CHINCHILLA_REPLICATED):
        c = 10 ** between(*decades)
        assert_nothing_is_better(c, *student.compute_optimal(c, fit), fit)


@exercise("chinchilla", aspect="equivalence")
def test_the_line_of_least_squares(student):
    """Points near a power law give the line of least squares through their logarithms."""
    x = torch.logspace(2, 6, 9, dtype=torch.float64)
    y = 3 * x**0.4 * torch.exp(torch.randn(9, dtype=torch.float64) / 5)
    log_x, log_y = x.log(), y.log()
    slope = ((log_x - log_x.mean()) * (log_y - log_y.mean())).sum() / (log_x - log_x.mean()).square().sum()
    expected = ((log_y.mean() - slope * log_x.mean()).exp().item(), slope.item())
    assert tuple(student.fit_power_law(x, y)) == (
        pytest.approx(expected[0], rel=1e-8),
        pytest.approx(expected[1], rel=1e-8),
    )


@exercise("chinchilla", aspect="property")
def test_both_terms_are_balanced(student):
    """At the best point a further step in either direction costs as much as it gains."""
    fit, c = draw_fit(), 10 ** between(20, 24)
    n, d = student.compute_optimal(c, fit)
    assert fit.alpha * fit.a / n**fit.alpha == pytest.approx(fit.beta * fit.b / d**fit.beta, rel=1e-9)


@exercise("chinchilla", aspect="robustness")
def test_two_points_and_no_budget(student, launch):
    """Two points are enough for a line; a budget of nothing raises ValueError."""
    x = torch.tensor([2.0, 32.0], dtype=torch.float64)
    assert tuple(student.fit_power_law(x, 5 * x**-0.5)) == (pytest.approx(5, rel=1e-9), pytest.approx(-0.5, rel=1e-9))
    calls = [{"c": c, "fit": draw_fit()} for c in (0.0, -1.0)]
    run = launch(call_each, 1, shared={"function": "compute_optimal", "calls": calls}, process_group=False)
    assert error_types(run["errors"][0]) == ["ValueError"] * 2
