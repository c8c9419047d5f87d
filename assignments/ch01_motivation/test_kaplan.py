"""Public tests of exercise `kaplan`."""

import pytest

from assignments.ch01_motivation.references_kaplan import size
from course_env.rank_programs import call_each
from grader.harness import assert_each_raises, assert_returns, exercise


@exercise("kaplan", aspect="equivalence")
def test_losses_of_known_models(student):
    """With unlimited data, 175 billion parameters reach 1.6044 nats per token, and 1.5 billion reach 2.3036."""
    assert_returns(student.kaplan_loss, {"n": 175e9}, 1.6044, abs=5e-5)
    assert_returns(student.kaplan_loss, {"n": 1.5e9}, 2.3036, abs=5e-5)


@exercise("kaplan", aspect="equivalence")
def test_the_laws_of_one_size(student):
    """The loss is a power of the model's size alone, or of the data's size alone."""
    n, d = size(6, 12), size(8, 13)
    assert_returns(student.kaplan_loss, {"n": n}, (8.8e13 / n) ** 0.076, rel=1e-12)
    assert_returns(student.kaplan_loss, {"d": d}, (5.4e13 / d) ** 0.095, rel=1e-12)


@exercise("kaplan", aspect="equivalence")
def test_a_billion_times_the_compute(student):
    """A billion times the compute: a model 3.72 million times as large, 145 times the batch, 1.86 times the steps."""
    assert_returns(student.compute_multipliers, (1e9,), (3.715e6, 144.5, 1.862), rel=5e-4)


@exercise("kaplan", aspect="property")
def test_the_joint_law_holds_the_other_two(student):
    """If one size grows without bound, the joint law becomes the law of the other size."""
    n, d = size(7, 11), size(9, 12)
    assert_returns(student.kaplan_loss, {"n": n, "d": 1e40}, student.kaplan_loss(n=n), why="d leaves nothing to learn")
    assert_returns(
        student.kaplan_loss, {"n": 1e60, "d": d}, student.kaplan_loss(d=d), why="n is large enough for all of it"
    )
    assert student.kaplan_loss(n=n, d=d) > max(student.kaplan_loss(n=n), student.kaplan_loss(d=d))


@exercise("kaplan", aspect="property")
def test_the_budget_is_spent_whole(student):
    """The three factors multiply to the factor of the budget."""
    ratio = size(0, 9)
    model, batch, steps = student.compute_multipliers(ratio)
    assert model * batch * steps == pytest.approx(ratio, rel=1e-12)


@exercise("kaplan", aspect="robustness")
def test_a_loss_of_nothing_is_refused(launch):
    """Without a size, or with a size that is not positive, ValueError is raised."""
    calls = [{}, {"n": 0.0}, {"d": -1.0}, {"n": 1e9, "d": 0.0}, {"n": 1e9}]
    run = launch(call_each, 1, shared={"function": "kaplan_loss", "calls": calls}, process_group=False)
    assert_each_raises(run, "kaplan_loss", calls, ["ValueError"] * 4 + [""])
