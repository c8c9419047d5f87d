"""Hidden tests of exercise `kaplan`."""

import pytest

from assignments.ch01_motivation.references_kaplan import OTHER_SIZE, UPSIDE_DOWN, size
from course_env.rank_programs import call_each
from grader.harness import assert_each_raises, assert_each_returns, assert_returns, exercise


@exercise("kaplan", aspect="equivalence")
def test_other_sizes_alone(student):
    """The loss is a power of the model's size alone, or of the data's size alone."""
    n, d = size(6, 12), size(8, 13)
    wrong = {UPSIDE_DOWN: (n / 8.8e13) ** 0.076, OTHER_SIZE: (5.4e13 / n) ** 0.095}
    assert_returns(student.kaplan_loss, {"n": n}, (8.8e13 / n) ** 0.076, mistakes=wrong)
    wrong = {UPSIDE_DOWN: (d / 5.4e13) ** 0.095, OTHER_SIZE: (8.8e13 / d) ** 0.076}
    assert_returns(student.kaplan_loss, {"d": d}, (5.4e13 / d) ** 0.095, mistakes=wrong)


@exercise("kaplan", aspect="equivalence")
def test_the_law_of_both_sizes(launch):
    """Model and data size together follow the published joint law."""
    calls = [{"n": size(6, 12), "d": size(8, 13)} for _ in range(20)]
    run = launch(call_each, 1, shared={"function": "kaplan_loss", "calls": calls}, process_group=False)
    laws = [((8.8e13 / call["n"]) ** 0.076, (5.4e13 / call["d"]) ** 0.095) for call in calls]
    joint = [(model ** (1 / 0.095) + data ** (1 / 0.095)) ** 0.095 for model, data in laws]
    wrong = {
        "the two laws of one size are added": [sum(both) for both in laws],
        "the larger of the two laws of one size is taken": [max(both) for both in laws],
    }
    assert_each_returns(run, "kaplan_loss", calls, joint, why="the joint law of section 6", mistakes=wrong)


@exercise("kaplan", aspect="equivalence")
def test_tokens_of_other_models(launch):
    """The tokens that other models need are what the joint law says."""
    calls = [{"n": size(6, 12), "slack": size(-3, 0)} for _ in range(10)]
    calls += [{"n": size(13, 15), "slack": size(-5, -4)}, {"n": size(1, 2), "slack": size(0, 1)}]
    run = launch(call_each, 1, shared={"function": "tokens_needed", "calls": calls}, process_group=False)
    limits = [(8.8e13 / call["n"]) ** 0.8 for call in calls]
    expected = [
        5.4e13 / (limit * ((1 + call["slack"]) ** (1 / 0.095) - 1)) for call, limit in zip(calls, limits, strict=True)
    ]
    assert_each_returns(run, "tokens_needed", calls, expected, why="the joint law of section 6, solved for d")


@exercise("kaplan", aspect="equivalence")
@pytest.mark.parametrize("ratio", [4321.0, 1.0, 1e-3])
def test_other_budgets(student, ratio):
    """Larger and smaller budgets are shared out by the same exponents."""
    expected = (ratio**0.73, ratio**0.24, ratio**0.03)
    assert_returns(student.compute_multipliers, {"c_ratio": ratio}, expected, why="each is a power of c_ratio")


@exercise("kaplan", aspect="property")
def test_more_is_better(student):
    """The loss falls with each size, and stays above both laws of one size."""
    n, d = size(7, 10), size(9, 11)
    here, wider, both = (student.kaplan_loss(n=a * n, d=b * d) for a, b in ((1, 1), (2, 1), (2, 2)))
    assert here > wider > both, f"losses of {here}, with twice the model {wider}, with twice both {both}"
    alone = max(student.kaplan_loss(n=n), student.kaplan_loss(d=d))
    assert here > alone, f"a loss of {here} from both sizes, and one of the two alone gives {alone}"


@exercise("kaplan", aspect="robustness")
def test_each_size_is_checked(launch):
    """A size that is not positive is refused even if the other size is good; so are a negative slack and a negative budget."""
    calls = [{"n": -1.0, "d": 1e9}, {"n": 1e9, "d": -1.0}, {"n": None, "d": None}, {"n": None, "d": 1e9}]
    run = launch(call_each, 1, shared={"function": "kaplan_loss", "calls": calls}, process_group=False)
    assert_each_raises(run, "kaplan_loss", calls, ["ValueError"] * 3 + [""])
    calls = [{"n": -1e9, "slack": 0.1}, {"n": 1e9, "slack": -0.1}]
    run = launch(call_each, 1, shared={"function": "tokens_needed", "calls": calls}, process_group=False)
    assert_each_raises(run, "tokens_needed", calls, ["ValueError"] * 2)
    calls = [{"c_ratio": -1.0}]
    run = launch(call_each, 1, shared={"function": "compute_multipliers", "calls": calls}, process_group=False)
    assert_each_raises(run, "compute_multipliers", calls, ["ValueError"])
