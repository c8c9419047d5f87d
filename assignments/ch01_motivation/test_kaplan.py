"""Public tests of exercise `kaplan`."""

import pytest

from assignments.ch01_motivation.references_kaplan import OTHER_SIZE, UPSIDE_DOWN, size
from course_env.rank_programs import call_each
from grader.harness import assert_each_raises, assert_each_returns, assert_returns, exercise


@exercise("kaplan", aspect="equivalence")
def test_losses_of_known_models(launch):
    """With unlimited data, 175 billion parameters reach 1.6044 nats per token, and 1.5 billion reach 2.3036."""
    calls = [{"n": 175e9}, {"n": 1.5e9}]
    run = launch(call_each, 1, shared={"function": "kaplan_loss", "calls": calls}, process_group=False)
    wrong = {
        "the exponent of tokens, 0.095, is taken for parameters": [1.8057, 2.8379],
        OTHER_SIZE: [1.7238, 2.7092],
        "the ratio of the exponents inside the joint law is upside down": [2.0931, 3.6834],
        UPSIDE_DOWN: [0.6233, 0.4341],
        "the logarithm to base 10 is taken, and the exponential to base e": [1.2279, 1.4368],
    }
    why = "1 nat at 8.8e13 parameters, and a slope of -0.076 between logarithms"
    assert_each_returns(run, "kaplan_loss", calls, [1.6044, 2.3036], abs=1e-4, why=why, mistakes=wrong)


@exercise("kaplan", aspect="equivalence")
def test_the_loss_of_known_data(student):
    """With an unlimited model, 300 billion tokens give 1.6378 nats per token, and a billion give 2.8156."""
    why = "1 nat at 5.4e13 tokens, and a slope of -0.095 between logarithms"
    wrong = {"the exponent of parameters, 0.076, is taken for tokens": 1.4839, UPSIDE_DOWN: 0.6106}
    assert_returns(student.kaplan_loss, {"d": 300e9}, 1.6378, abs=1e-4, why=why, mistakes=wrong | {OTHER_SIZE: 1.5400})
    assert_returns(student.kaplan_loss, {"d": 1e9}, 2.8156, abs=1e-4, why=why)


@exercise("kaplan", aspect="equivalence")
def test_the_loss_of_a_known_training(student):
    """175 billion parameters and 300 billion tokens give 1.7323 nats per token, more than either law of one size."""
    wrong = {
        "the two laws of one size are added": 3.2422,
        "the larger of the two laws of one size is taken": 1.6378,
        "the model's term has no power of its own inside the sum, so unlimited data do not give the law of parameters": 1.8589,
        "the power of the model's term is upside down": 2.1077,
        "the power outside is that of parameters, so an unlimited model does not give the law of tokens": 1.5520,
        "the power outside is missing": 324.93,
        "parameters and tokens are swapped": 1.7680,
        "the terms inside are the laws of one size: their power 0.095 is taken twice": 1.1182,
    }
    why = "the joint law of section 6, whose limits are the two laws of one size"
    assert_returns(student.kaplan_loss, {"n": 175e9, "d": 300e9}, 1.7323, abs=1e-4, why=why, mistakes=wrong)


@exercise("kaplan", aspect="equivalence")
def test_tokens_of_a_known_model(student):
    """175 billion parameters come within 2 % of their limit with 1.608 trillion tokens, 1.5 billion within 5 % with 12.3 billion."""
    wrong = {
        "slack is taken for a percentage, and it is a share": 1.7681e14,
        "slack is taken for nats, and it is a share of the loss": 2.6749e12,
        "the law of tokens alone is asked: the model's term is missing": 3.0249e11,
        "the power is that of parameters, 0.076, and the joint law has that of tokens outside": 1.2518e12,
        "slack is taken off the limit, and the loss is above it": -1.9450e12,
        "the power is replaced by its tangent, which is near only for a very small slack": 1.7698e12,
    }
    why = "with these tokens the joint law is 1.02 times the law of parameters alone"
    call = {"n": 175e9, "slack": 0.02}
    assert_returns(student.tokens_needed, call, 1.6076e12, rel=1e-4, why=why, mistakes=wrong)
    assert_returns(student.tokens_needed, {"n": 1.5e9, "slack": 0.05}, 1.2325e10, rel=1e-4)


@exercise("kaplan", aspect="equivalence")
def test_a_billion_times_the_compute(student):
    """A billion times the compute: a model 3.72 million times as large, 145 times the batch, 1.86 times the steps."""
    model, batch, steps = 3.71535e6, 144.544, 1.86209
    wrong = {
        "batch and steps are swapped: the order is model, batch, steps": (model, steps, batch),
        "model and batch are swapped: the order is model, batch, steps": (batch, model, steps),
        "the steps take all that the model leaves, and the batch takes a part of it": (model, batch, 269.153),
        "these are the exponents, and factors are due": (0.73, 0.24, 0.03),
        "c_ratio is multiplied by the exponents, and they are its powers": (7.3e8, 2.4e8, 3e7),
    }
    expected, call = (model, batch, steps), {"c_ratio": 1e9}
    why = "0.73 and 0.24 are the exponents of model and batch, and the steps take what is left of the budget"
    assert_returns(student.compute_multipliers, call, expected, rel=1e-5, why=why, mistakes=wrong)


@exercise("kaplan", aspect="property")
def test_the_joint_law_holds_the_other_two(student):
    """If one size grows without bound, the joint law becomes the law of the other size."""
    n, d = size(7, 11), size(9, 12)
    why = "kaplan_loss says so of this size alone"
    assert_returns(student.kaplan_loss, {"n": n, "d": 1e40}, student.kaplan_loss(n=n), why=why)
    assert_returns(student.kaplan_loss, {"n": 1e60, "d": d}, student.kaplan_loss(d=d), why=why)


@exercise("kaplan", aspect="property")
def test_the_tokens_that_are_needed_are_enough(student):
    """With the tokens that are needed, the joint law gives the loss that is asked for."""
    n, slack = size(7, 12), size(-2, 0)
    limit = student.kaplan_loss(n=n)
    tokens = student.tokens_needed(n, slack)
    why = f"{1 + slack:.6g} times your kaplan_loss(n={n:.6g}); your tokens_needed(n, slack={slack:.6g}) says {tokens:.6g} tokens"
    assert_returns(student.kaplan_loss, {"n": n, "d": tokens}, (1 + slack) * limit, why=why)


@exercise("kaplan", aspect="property")
def test_the_budget_is_spent_whole(student):
    """The three factors multiply to the factor of the budget."""
    ratio = size(0, 9)
    model, batch, steps = student.compute_multipliers(ratio)
    spent = model * batch * steps
    assert spent == pytest.approx(ratio, rel=1e-12), (
        f"compute_multipliers({ratio:.6g}) spends {spent:.6g} times the compute"
    )


@exercise("kaplan", aspect="robustness")
def test_a_loss_of_nothing_is_refused(launch):
    """Without a size, or with a size that is not positive, ValueError is raised."""
    calls = [{}, {"n": 0.0}, {"d": -1.0}, {"n": 1e9, "d": 0.0}, {"n": 1e9}, {"n": 0.5}]
    run = launch(call_each, 1, shared={"function": "kaplan_loss", "calls": calls}, process_group=False)
    assert_each_raises(run, "kaplan_loss", calls, ["ValueError"] * 4 + ["", ""])


@exercise("kaplan", aspect="robustness")
def test_nothing_needs_no_tokens(launch):
    """No model, no slack and no compute raise ValueError."""
    calls = [{"n": 1e9, "slack": slack} for slack in (0.0, -0.1, 1e-3)] + [{"n": 0.0, "slack": 0.1}]
    run = launch(call_each, 1, shared={"function": "tokens_needed", "calls": calls}, process_group=False)
    assert_each_raises(run, "tokens_needed", calls, ["ValueError", "ValueError", "", "ValueError"])
    budgets = [{"c_ratio": 0.0}, {"c_ratio": 0.5}]
    run = launch(call_each, 1, shared={"function": "compute_multipliers", "calls": budgets}, process_group=False)
    assert_each_raises(run, "compute_multipliers", budgets, ["ValueError", ""])
