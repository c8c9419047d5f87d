"""Public tests of exercise `chinchilla`."""

import pytest
import torch

from assignments.ch01_motivation.references_chinchilla import OTHERS, between, draw_fit, losses_of
from course_env.rank_programs import call_each
from course_env.scaling import CHINCHILLA, LossFit
from grader.harness import assert_each_raises, assert_each_returns, assert_returns, exercise

OTHER_FIT = LossFit(irreducible=1.2, a=300.0, b=1500.0, alpha=0.41, beta=0.33)
EXACT_FIT = LossFit(irreducible=1.5, a=256.0, b=400.0, alpha=0.5, beta=0.25)  # of 65,536 parameters, 2.5 is the limit


@exercise("chinchilla", aspect="equivalence")
def test_losses_of_known_models(launch):
    """Gopher's 280 billion parameters and 300 billion tokens give 1.9933, Chinchilla's 70 billion and 1.4 trillion 1.9366."""
    calls = [
        {"n": 280e9, "d": 300e9, "fit": CHINCHILLA},
        {"n": 70e9, "d": 1.4e12, "fit": CHINCHILLA},
        {"n": 2e9, "d": 5e10, "fit": OTHER_FIT},
    ]
    run = launch(call_each, 1, shared={"function": "chinchilla_loss", "calls": calls}, process_group=False)
    wrong = {
        "parameters and tokens are swapped: a and alpha belong to n, b and beta to d": [1.99695, 2.09763, 2.49097],
        "the exponents are swapped: alpha belongs to n, beta to d": [1.99481, 2.09400, 1.51732],
        "what no size removes is left out: fit.irreducible": [0.30326, 0.24665, 0.48811],
        "the constants of one published fit are taken, whatever fit is passed": [1.99326, 1.93665, 2.38442],
    }
    expected = [1.99326, 1.93665, 1.68811]
    assert_each_returns(run, "chinchilla_loss", calls, expected, rel=5e-6, mistakes=wrong)


@exercise("chinchilla", aspect="equivalence")
def test_the_best_use_of_known_budgets(launch):
    """With 5.76e23 operations, 32.2 billion parameters and 2.98 trillion tokens are best; 1e12 give 157,239.095 and 1,059,956.92."""
    calls = [
        {"c": 5.76e23, "fit": CHINCHILLA},
        {"c": 1e12, "fit": CHINCHILLA},
        {"c": 1e20, "fit": OTHER_FIT},
    ]
    run = launch(call_each, 1, shared={"function": "compute_optimal", "calls": calls}, process_group=False)
    expected = [
        (32189859151.368168, 2982305686662.804),
        (157239.09498664853, 1059956.9189889997),
        (56851672.17362907, 293160535643.79736),
    ]
    wrong = {
        "n and d are swapped: the order is (n, d)": [(d, n) for n, d in expected],
        "both are rounded, and real numbers are due": [(float(round(n)), float(round(d))) for n, d in expected],
        "n and d take 6 n d operations, and here n d is the whole budget": [
            (72300653332.99892, 7966732988526.211),
            (353169.89874250407, 2831498.3908894775),
            (126402783.76918507, 791121817242.5912),
        ],
        "the powers of compute are swapped: the derivative says which of alpha and beta decides how fast n grows": [
            (5392744454430.132, 17801696485.19802),
            (1916663.614456326, 86956.66021392216),
            (6804260712.908232, 2449445629.713843),
        ],
        "the powers are right, and the factor before them is left out": [
            (23938130723.052048, 4010338196856.511),
            (116931.54644961559, 1425335.3498448883),
            (373168969.7008852, 44662520251.95419),
        ],
        "the factor before the power is upside down": [
            (17801696485.197968, 5392744454430.148),
            (86956.66021392205, 1916663.6144563286),
            (2449445629.7138486, 6804260712.908216),
        ],
        "the factor before the power lacks its own power 1 / (alpha + beta)": [
            (28763393081.39796, 3337575637489.226),
            (140501.69886102199, 1186225.2771158724),
            (92726834.89537145, 179739410770.0596),
        ],
        "the factor before the power has the power alpha + beta, and 1 / (alpha + beta) is due": [
            (26824717761.205242, 3578788819125.5547),
            (131031.77383318609, 1271956.1201914784),
            (133176457.58440457, 125147244257.51952),
        ],
        "20 tokens a parameter are a rule of thumb, and fit says what is best": [
            ((call["c"] / 120) ** 0.5, 20 * (call["c"] / 120) ** 0.5) for call in calls
        ],
    }
    why = "alpha a / n^alpha = beta b / d^beta and 6 n d = c, solved to nine digits: no search gets there"
    assert_each_returns(run, "compute_optimal", calls, expected, rel=1e-9, why=why, mistakes=wrong)


@exercise("chinchilla", aspect="equivalence")
def test_tokens_for_known_losses(launch):
    """70 billion parameters reach 1.9366 with 1.4 trillion tokens, and 7 billion reach 2.0 with 3.4 trillion."""
    calls = [{"loss": 1.9366, "n": 70e9, "fit": CHINCHILLA}, {"loss": 2.0, "n": 7e9, "fit": CHINCHILLA}]
    run = launch(call_each, 1, shared={"function": "tokens_for_loss", "calls": calls}, process_group=False)
    wrong = {
        "what no size removes is left out: fit.irreducible": [2.38355e8, 2.55535e8],
        "what the model of finite size costs is left out": [3.20236e11, 1.41443e11],
        "the exponent of parameters is taken for that of tokens": [1.00705e10, 2.08543e10],
    }
    expected = [1.40139e12, 3.39198e12]
    why = "with these tokens chinchilla_loss gives the loss that is asked for"
    assert_each_returns(run, "tokens_for_loss", calls, expected, rel=1e-5, why=why, mistakes=wrong)


@exercise("chinchilla", aspect="equivalence")
def test_noisy_runs_give_the_line_of_least_squares(student):
    """Five runs that lie on no line give the line of least squares between their logarithms."""
    x = torch.tensor([2.0, 5.0, 11.0, 40.0, 90.0], dtype=torch.float64)
    y = torch.tensor([3.1, 4.4, 6.9, 10.2, 17.5], dtype=torch.float64)
    wrong = {
        "this line goes through the first and the last point": (2.26199, 0.454676),
        "the logarithm to base 10 is taken, and the exponential to base e": (1.42115, 0.440890),
        "the squared distances in x are the smallest, and those in y are due": (2.21389, 0.446526),
        "this line goes through log x = log y = 0: the offset is left out": (1.0, 0.685308),
        "this line is between x and y themselves, not between their logarithms": (3.86873, 0.153759),
        "this line is between x and y themselves, and only its offset was made an exponential": (47.8814, 0.153759),
        "the order is (a, b), factor and exponent": (0.440890, 2.246295),
        "the offset of the line is log a, and a is due": (0.809282, 0.440890),
    }
    why = "least squares of log y against log x"
    assert_returns(student.fit_power_law, {"x": x, "y": y}, (2.246295, 0.440890), rel=3e-6, why=why, mistakes=wrong)


@exercise("chinchilla", aspect="equivalence")
def test_a_power_law_is_found_again(student):
    """Points on a power law give its two constants back."""
    a, b = between(0.5, 30), between(-0.7, 0.7)
    x = torch.logspace(1, 9, 17, dtype=torch.float64)
    wrong = {
        "the order is (a, b), factor and exponent": (b, a),
        "the logarithm to base 10 is taken, and the exponential to base e": (a**0.4342944819032518, b),
        "the offset of the line is log a, and a is due": (float(torch.tensor(a, dtype=torch.float64).log()), b),
    }
    why = f"y is {a:.6g} x^{b:.6g}"
    assert_returns(student.fit_power_law, {"x": x, "y": a * x**b}, (a, b), abs=1e-11, why=why, mistakes=wrong)


@exercise("chinchilla", aspect="property")
def test_no_other_model_is_better(student, launch):
    """Of 2001 model sizes with the same budget none has a smaller loss, whatever the constants are."""
    fit, c = draw_fit(), 10 ** between(18, 25)
    n, d = student.compute_optimal(c, fit)
    spent = 6 * n * d
    assert spent == pytest.approx(c, rel=1e-9), f"compute_optimal({c:.6g}, ...) spends {spent:.6g} operations"
    here, *others = losses_of(launch, [(n, d), *((n * factor, d / factor) for factor in OTHERS)], fit)
    best = min(others)
    better = n * OTHERS[others.index(best)]
    assert here <= best * (1 + 1e-12), (
        f"by your chinchilla_loss {n:.6g} parameters, which compute_optimal says, have {here} with c = {c:.6g}; {better:.6g} have {best}"
    )


@exercise("chinchilla", aspect="property")
def test_the_best_size_is_a_power_of_compute(student):
    """The best size is a power of compute, and the fit finds its exponent."""
    fit = draw_fit()
    budgets = torch.logspace(18, 24, 7, dtype=torch.float64)
    sizes = torch.tensor([student.compute_optimal(c, fit)[0] for c in budgets.tolist()], dtype=torch.float64)
    _, exponent = student.fit_power_law(budgets, sizes)
    due = fit.beta / (fit.alpha + fit.beta)
    assert exponent == pytest.approx(due, rel=1e-9), (
        f"with alpha = {fit.alpha:.4g} and beta = {fit.beta:.4g} your best sizes grow as c^{exponent:.4g}, and c^{due:.4g} is due"
    )


@exercise("chinchilla", aspect="property")
def test_the_tokens_of_a_loss_give_that_loss(student):
    """With the tokens that a loss takes, a model has that loss."""
    fit, n, d = draw_fit(), 10 ** between(8, 11), 10 ** between(9, 12)
    reached = student.chinchilla_loss(n, d, fit)
    why = f"with as many tokens your chinchilla_loss is {reached:.9g}"
    assert_returns(student.tokens_for_loss, {"loss": reached, "n": n, "fit": fit}, d, rel=1e-6, why=why)


@exercise("chinchilla", aspect="robustness")
def test_what_has_no_logarithm_is_refused(launch):
    """Numbers that are not positive, one point, and lists of different lengths raise ValueError."""
    x = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    calls = [{"x": x, "y": x - 1}, {"x": -x, "y": x}, {"x": x[:1], "y": x[:1]}, {"x": x, "y": x[:2]}, {"x": x, "y": x}]
    run = launch(call_each, 1, shared={"function": "fit_power_law", "calls": calls}, process_group=False)
    assert_each_raises(run, "fit_power_law", calls, ["ValueError"] * 4 + [""])


@exercise("chinchilla", aspect="robustness")
def test_no_data_are_enough_for_every_loss(launch):
    """A loss at the limit of unlimited data, or below it, raises ValueError, and so does a budget that is not positive."""
    calls = [{"loss": loss, "n": 65536.0, "fit": EXACT_FIT} for loss in (2.5, 2.4, 1.4, 2.6)]
    run = launch(call_each, 1, shared={"function": "tokens_for_loss", "calls": calls}, process_group=False)
    assert_each_raises(run, "tokens_for_loss", calls, ["ValueError"] * 3 + [""])
    calls = [{"c": 0.0, "fit": CHINCHILLA}, {"c": 0.5, "fit": CHINCHILLA}]
    run = launch(call_each, 1, shared={"function": "compute_optimal", "calls": calls}, process_group=False)
    assert_each_raises(run, "compute_optimal", calls, ["ValueError", ""])
