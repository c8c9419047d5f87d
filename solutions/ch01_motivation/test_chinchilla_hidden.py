"""Hidden tests of exercise `chinchilla`."""

import pytest
import torch

from assignments.ch01_motivation.references_chinchilla import OTHERS, between, draw_fit
from course_env.rank_programs import call_each
from course_env.scaling import CHINCHILLA_REPLICATED
from grader.harness import assert_each_raises, assert_each_returns, assert_returns, exercise


def loss(n, d, fit):
    """Return the loss of n parameters and d tokens: numbers, or tensors of them."""
    of_size, of_data = fit.a * n**-fit.alpha, fit.b * d**-fit.beta
    return fit.irreducible + of_size + of_data


@exercise("chinchilla", aspect="equivalence")
def test_losses_with_other_constants(student):
    """The loss follows whatever constants are passed."""
    fit, n, d = draw_fit(), 10 ** between(7, 12), 10 ** between(9, 13)
    wrong = {
        "the fields of n and d are swapped": loss(d, n, fit),
        "fit.irreducible is left out": loss(n, d, fit) - fit.irreducible,
    }
    assert_returns(student.chinchilla_loss, {"n": n, "d": d, "fit": fit}, loss(n, d, fit), mistakes=wrong)


@exercise("chinchilla", aspect="equivalence")
@pytest.mark.parametrize("decades", [(16, 20), (24, 28)])
def test_the_best_use_of_other_budgets(student, decades):
    """Small and large budgets are used best, with constants of any kind."""
    for fit in (draw_fit(), CHINCHILLA_REPLICATED):
        c = 10 ** between(*decades)
        n, d = student.compute_optimal(c, fit)
        spent = 6 * n * d
        assert spent == pytest.approx(c, rel=1e-9), f"compute_optimal({c}, {fit}) spends {spent} operations"
        others = n * torch.tensor(OTHERS, dtype=torch.float64)
        best = loss(others, c / 6 / others, fit).min().item()
        here = loss(n, d, fit)
        assert here <= best * (1 + 1e-12), (
            f"compute_optimal({c}, {fit}) has the loss {here}, and another size has {best}"
        )


@exercise("chinchilla", aspect="equivalence")
def test_tokens_for_other_losses(launch):
    """The tokens that other models need for other losses follow whatever constants are passed."""
    calls, expected = [], []
    for _ in range(8):
        fit, n, d = draw_fit(), 10 ** between(8, 11), 10 ** between(9, 12)
        calls.append({"loss": loss(n, d, fit), "n": n, "fit": fit})
        expected.append(d)
    run = launch(call_each, 1, shared={"function": "tokens_for_loss", "calls": calls}, process_group=False)
    why = "with as many tokens the model has the loss that is asked for"
    assert_each_returns(run, "tokens_for_loss", calls, expected, rel=1e-6, why=why)


@exercise("chinchilla", aspect="equivalence")
def test_the_line_of_least_squares(student):
    """Points near a power law give the line of least squares through their logarithms."""
    x = torch.logspace(2, 6, 9, dtype=torch.float64)
    y = 3 * x**0.4 * torch.exp(torch.randn(9, dtype=torch.float64) / 5)
    log_x, log_y = x.log(), y.log()
    slope = ((log_x - log_x.mean()) * (log_y - log_y.mean())).sum() / (log_x - log_x.mean()).square().sum()
    expected = ((log_y.mean() - slope * log_x.mean()).exp().item(), slope.item())
    ends = ((log_y[-1] - log_y[0]) / (log_x[-1] - log_x[0])).item()
    wrong = {
        "this line goes through the first and the last point": ((log_y[0] - ends * log_x[0]).exp().item(), ends),
        "the logarithm to base 10 is taken, and the exponential to base e": (
            expected[0] ** 0.4342944819032518,
            expected[1],
        ),
    }
    why = "least squares of log y against log x"
    assert_returns(student.fit_power_law, {"x": x, "y": y}, expected, rel=1e-8, why=why, mistakes=wrong)


@exercise("chinchilla", aspect="property")
def test_both_terms_are_balanced(student):
    """At the best point a further step in either direction costs as much as it gains."""
    fit, c = draw_fit(), 10 ** between(20, 24)
    n, d = student.compute_optimal(c, fit)
    of_size, of_data = fit.alpha * fit.a / n**fit.alpha, fit.beta * fit.b / d**fit.beta
    assert of_size == pytest.approx(of_data, rel=1e-9), (
        f"at n = {n}, d = {d} a share more parameters gains {of_size} of that share, and as many more tokens {of_data}"
    )


@exercise("chinchilla", aspect="robustness")
def test_two_points_are_a_line(student):
    """Two points are enough for a line, and it goes through both."""
    x = torch.tensor([2.0, 32.0], dtype=torch.float64)
    assert_returns(student.fit_power_law, {"x": x, "y": 5 * x**-0.5}, (5.0, -0.5), why="y is 5 x^-0.5")


@exercise("chinchilla", aspect="robustness")
def test_no_budget_buys_nothing(launch):
    """A negative budget raises ValueError, and so do no points at all, and numbers of either kind that are not positive."""
    calls = [{"c": c, "fit": draw_fit()} for c in (0.0, -1.0)]
    run = launch(call_each, 1, shared={"function": "compute_optimal", "calls": calls}, process_group=False)
    assert_each_raises(run, "compute_optimal", calls, ["ValueError"] * 2)
    x = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    calls = [{"x": x[:0], "y": x[:0]}, {"x": x[:2], "y": x}, {"x": x, "y": -x}, {"x": 0 * x, "y": x}, {"x": x, "y": x}]
    run = launch(call_each, 1, shared={"function": "fit_power_law", "calls": calls}, process_group=False)
    assert_each_raises(run, "fit_power_law", calls, ["ValueError"] * 4 + [""])
