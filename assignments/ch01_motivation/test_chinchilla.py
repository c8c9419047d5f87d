"""Public tests of exercise `chinchilla`."""

import pytest
import torch

from assignments.ch01_motivation.references_chinchilla import assert_nothing_is_better, between, draw_fit, loss
from course_env.rank_programs import call_each, error_types
from course_env.scaling import CHINCHILLA
from grader.harness import exercise


@exercise("chinchilla", aspect="equivalence")
def test_losses_of_known_models(student):
    """Gopher's 280 billion parameters and 300 billion tokens give 1.9933, Chinchilla's 70 billion and 1.4 trillion 1.9366."""
    assert student.chinchilla_loss(280e9, 300e9, CHINCHILLA) == pytest.approx(1.9933, abs=5e-5)
    assert student.chinchilla_loss(70e9, 1.4e12, CHINCHILLA) == pytest.approx(1.9366, abs=5e-5)


@exercise("chinchilla", aspect="equivalence")
def test_the_best_use_of_gophers_budget(student):
    """With 5.76e23 operations, 32.2 billion parameters and 2.98 trillion tokens are best, with a loss of 1.9307."""
    n, d = student.compute_optimal(5.76e23, CHINCHILLA)
    assert (n, d) == (pytest.approx(3.219e10, rel=2e-4), pytest.approx(2.982e12, rel=2e-4))
    assert loss(n, d, CHINCHILLA) == pytest.approx(1.9307, abs=5e-5)


@exercise("chinchilla", aspect="equivalence")
def test_a_power_law_is_found_again(student):
    """Points on a power law give its two constants back."""
    a, b = between(0.5, 30), between(-0.7, 0.7)
    x = torch.logspace(1, 9, 17, dtype=torch.float64)
    assert student.fit_power_law(x, a * x**b) == (pytest.approx(a, rel=1e-9), pytest.approx(b, rel=1e-9, abs=1e-11))


@exercise("chinchilla", aspect="property")
def test_no_other_model_is_better(student):
    """Of 2001 model sizes with the same budget none has a smaller loss, whatever the constants are."""
    fit, c = draw_fit(), 10 ** between(18, 25)
    assert_nothing_is_better(c, *student.compute_optimal(c, fit), fit)


@exercise("chinchilla", aspect="property")
def test_the_best_size_is_a_power_of_compute(student):
    """The best size is a power of compute, and the fit finds its exponent."""
    fit = draw_fit()
    budgets = torch.logspace(18, 24, 7, dtype=torch.float64)
    sizes = torch.tensor([student.compute_optimal(c, fit)[0] for c in budgets.tolist()], dtype=torch.float64)
    _, exponent = student.fit_power_law(budgets, sizes)
    assert exponent == pytest.approx(fit.beta / (fit.alpha + fit.beta), rel=1e-9)


@exercise("chinchilla", aspect="robustness")
def test_what_has_no_logarithm_is_refused(launch):
    """Numbers that are not positive, one point, and lists of different lengths raise ValueError."""
    x = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    calls = [{"x": x, "y": x - 1}, {"x": -x, "y": x}, {"x": x[:1], "y": x[:1]}, {"x": x, "y": x[:2]}]
    run = launch(call_each, 1, shared={"function": "fit_power_law", "calls": calls}, process_group=False)
    assert error_types(run["errors"][0]) == ["ValueError"] * 4
