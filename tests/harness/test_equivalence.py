"""Which ranks and values are compared in which structures, and what the student reads when they differ."""

import math
import time
from dataclasses import dataclass

import pytest
import torch

from course_env.errors import CatalogError
from grader.harness import PerRank, assert_matches
from grader.harness.mistake import Mistake
from tests.harness.comparing import mismatch, weights

pytestmark = pytest.mark.usefixtures("seed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A value type, as students return them."""

    rank: int
    scale: float


def said(actual, expected, **options):
    """Return what the student reads, line by line."""
    return str(mismatch(actual, expected, **options)).splitlines()


def test_per_rank_takes_a_tensor_apart():
    """A tensor of shape (N, ...) becomes N values, and a list of N is that list."""
    rows = PerRank(torch.arange(6).reshape(3, 2))
    assert [row.tolist() for row in rows] == [[0, 1], [2, 3], [4, 5]]
    assert repr(PerRank([1, 2])) == "PerRank((1, 2))"


def test_a_bare_expected_value_is_due_on_every_rank():
    """One reference serves all ranks, and each rank is compared with it."""
    x = weights(3)
    assert_matches(PerRank([x, x.clone()]), x)
    assert mismatch(PerRank([x, x, x + 1]), x).rank == 2


def test_a_per_rank_expected_value_is_due_rank_by_rank():
    """Each rank is compared with its own reference."""
    xs = [weights(3), weights(3)]
    assert_matches(PerRank(xs), PerRank(torch.stack(xs)))
    assert mismatch(PerRank(xs), PerRank(xs[::-1])).wrong_ranks == (0, 1)


def test_a_value_from_outside_a_launch_has_no_rank():
    """The student proxy returns bare values; messages about them name no rank."""
    assert_matches(weights(2) * 0, torch.zeros(2, dtype=torch.float64))
    assert mismatch(3, 4).rank is None
    assert said(3, 4, what="num_params") == ["num_params is 3, expected 4."]


@pytest.mark.parametrize(
    ("actual", "options"),
    [
        (PerRank([1, 2]), {"expected": PerRank([1, 2, 3])}),
        (PerRank([1, 2, 3]), {"expected": PerRank([1, 2])}),
        (1, {"expected": PerRank([1, 2])}),
        (PerRank([]), {"expected": 1}),
        (PerRank([1, 2]), {"expected": 1, "previous": PerRank([1])}),
        (PerRank([1, 2]), {"expected": 1, "exact": PerRank([1])}),
    ],
)
def test_numbers_of_ranks_must_agree(actual, options):
    """A test that expects more or fewer ranks than there are, or none at all, is a mistake of the test."""
    with pytest.raises(CatalogError, match=r"rank.*Correct the test\."):
        assert_matches(actual, **options)


def test_a_message_says_rank_place_numbers_and_cause():
    """The message says which rank and value is wrong, how far and where, on which ranks, what else, and why."""
    mean = torch.tensor([[0.1, 0.2, 0.3], [0.15, 0.25, 0.4]], dtype=torch.float64)
    grads = {"layers.0.weight": mean, "layers.0.bias": mean[0]}
    summed = {name: 4 * grad for name, grad in grads.items()}
    assert said(PerRank([grads, summed, summed, summed]), grads, what="grads") == [
        "rank 1 of 4: grads['layers.0.weight'] differs from the reference in 6 of 6 entries.",
        "max |difference| 1.2e+00 at (1, 2): yours 1.6, expected 0.4, allowed 4.1e-10.",
        "Wrong on ranks 1, 2, 3; right on rank 0.",
        "Also wrong: grads['layers.0.bias'].",
        "Yours is 4 times the reference everywhere: a sum over the 4 ranks where a mean is due?",
    ]


def test_a_difference_holds_what_the_message_says():
    """Reports read the numbers, not the text."""
    expected = torch.zeros(3, 4, dtype=torch.float64)
    actual = expected.clone()
    actual[1, 2], actual[2, 0] = 0.5, -0.75
    difference = mismatch(PerRank([expected, actual]), expected)
    assert (difference.rank, difference.world_size, difference.path) == (1, 2, "result")
    assert (difference.max_abs, difference.index, difference.allowed) == (0.75, (2, 0), 1e-11)
    assert (difference.actual, difference.expected) == (-0.75, 0.0)
    assert (difference.num_wrong, difference.numel) == (2, 12)
    assert (difference.wrong_ranks, difference.right_ranks) == ((1,), (0,))


def test_only_ranks_that_should_hold_a_value_are_listed():
    """A stage's parameters are right or wrong on the ranks that own that stage."""
    x = weights(3)
    actual = PerRank([{"a": x}, {"b": x}, {"b": x + 1}])
    difference = mismatch(actual, PerRank([{"a": x}, {"b": x}, {"b": x}]))
    assert (difference.path, difference.wrong_ranks, difference.right_ranks) == ("result['b']", (2,), (1,))


def test_ranks_may_owe_different_kinds_of_values():
    """A rank outside a sub-group owes None where members owe a tensor."""
    x = weights(3)
    assert_matches(PerRank([x, None]), PerRank([x, None]))
    assert said(PerRank([x, x]), PerRank([x, None]))[0] == "rank 1 of 2: result is a Tensor, expected None."


def test_close_numbers_are_shown_with_enough_digits():
    """Two numbers that differ in the eighth digit are not both shown as 0.2."""
    line = said(torch.tensor(0.2 + 1e-8, dtype=torch.float64), torch.tensor(0.2, dtype=torch.float64))[1]
    assert "yours 0.20000001, expected 0.2," in line


def test_a_launch_of_one_rank_lists_no_ranks():
    """With one rank there is no pattern over ranks to show."""
    assert said(PerRank([3]), 4) == ["rank 0 of 1: result is 3, expected 4."]


def test_long_lists_are_cut():
    """Of many wrong values the first few are named and the rest counted."""
    for names, last_line in (
        ("abcde", "Also wrong: result['b'], result['c'], result['d'], result['e']."),
        ("abcdefg", "Also wrong: result['b'], result['c'], result['d'], result['e'] and 2 more."),
    ):
        assert said(dict.fromkeys(names, 2.5), dict.fromkeys(names, 1.0))[-1] == last_line


def test_long_integers_are_shown_in_full():
    """Token counts are not rounded to six digits."""
    assert "yours 12345678, expected 12345679." in said(torch.tensor(12345678), torch.tensor(12345679))[1]


def test_a_0d_tensor_is_shown_without_index():
    """A loss has a value and no index."""
    assert said(torch.tensor(2.0, dtype=torch.float64), torch.tensor(1.25, dtype=torch.float64)) == [
        "result differs from the reference.",
        "max |difference| 7.5e-01: yours 2, expected 1.25, allowed 1.3e-09.",
    ]


@pytest.mark.parametrize(
    ("actual", "expected", "problem", "mistake"),
    [
        ([1.0], torch.ones(1), "is a list ([1.0]), expected a Tensor.", Mistake.TYPE),
        (1.0, 1, "is a float (1.0), expected an int.", Mistake.TYPE),
        (True, 1, "is a bool (True), expected an int.", Mistake.TYPE),
        (1, True, "is an int (1), expected a bool.", Mistake.TYPE),
        (True, 1.0, "is a bool (True), expected a float.", Mistake.TYPE),
        ((1, 2), [1, 2], "is a tuple ((1, 2)), expected a list.", Mistake.TYPE),
        (None, "x", "is None, expected a str.", Mistake.TYPE),
        (
            Layout(rank=0, scale=1.0),
            {"rank": 0},
            "is a Layout (Layout(rank=0, scale=1.0)), expected a dict.",
            Mistake.TYPE,
        ),
        (torch.ones(2, 3), torch.ones(6), "has shape (2, 3), expected (6,).", Mistake.SHAPE),
        (torch.ones(2).double(), torch.ones(2), "has dtype float64, expected float32.", Mistake.DTYPE),
        (torch.ones(2), torch.ones(2, dtype=torch.int64), "has dtype float32, expected int64.", Mistake.DTYPE),
        ([1, 2], [1, 2, 3], "has 2 entries, expected 3.", Mistake.LENGTH),
        ({"a": 1}, {"a": 1, "b": 2}, "lacks 'b'.", Mistake.KEYS),
        ({"a": 1, 5: 2}, {"a": 1}, "has 5, which nobody expects.", Mistake.KEYS),
        ({"x": 1}, {"a": 1, "b": 2}, "lacks 'a', 'b' and has 'x', which nobody expects.", Mistake.KEYS),
        ("yes", "no", "is 'yes', expected 'no'.", Mistake.VALUES),
    ],
)
def test_what_does_not_fit_is_told_in_words(actual, expected, problem, mistake):
    """Types, shapes, dtypes, lengths and keys are checked before any number, and each has its kind of mistake."""
    difference = mismatch(actual, expected, rtol=0)
    assert (difference.problem, difference.mistake) == (problem, mistake)


def test_a_misspelt_key_is_suggested():
    """An unexpected key close to a missing one is taken for it."""
    difference = mismatch({"layers.0.wieght": 1, "x": 2}, {"layers.0.weight": 1, "y": 2})
    assert difference.diagnosis.endswith("Did you mean 'layers.0.weight'?")


def test_keys_that_are_not_close_are_not_suggested():
    """Nothing is suggested where no key is close."""
    assert mismatch({"x": 1}, {"layers.0.weight": 1}).diagnosis is None


def test_a_wrong_shape_gets_a_hint():
    """The whole where a shard is expected is explained by the number of ranks."""
    x = weights(8, 3)
    assert "Dim 0 is 4 times too long" in said(PerRank([x] * 4), PerRank(x.chunk(4)))[-1]


@pytest.mark.parametrize(
    ("actual", "path"),
    [
        ({"grads": {"w": [1.0, (2, "a")]}, "layout": Layout(rank=0, scale=2.0)}, "state['layout'].scale"),
        ({"grads": {"w": [1.0, (2, "b")]}, "layout": Layout(rank=0, scale=1.0)}, "state['grads']['w'][1]"),
        ({"grads": {"w": [1.5, (2, "a")]}, "layout": Layout(rank=0, scale=1.0)}, "state['grads']['w'][0]"),
        ({"grads": {"w": [1.0, (2, "a")]}, "layout": Layout(rank=1, scale=1.0)}, "state['layout'].rank"),
    ],
)
def test_paths_lead_into_nested_structures(actual, path):
    """What is wrong is named the way a student would write it."""
    expected = {"grads": {"w": [1.0, (2, "a")]}, "layout": Layout(rank=0, scale=1.0)}
    assert mismatch(actual, expected, what="state").path == path


def test_a_row_of_plain_values_is_told_as_a_whole():
    """The members of a group say more than the first of them that is wrong; what is in another order is told as such."""
    expected = {"members": [2, 0]}
    assert said({"members": [0, 2]}, expected) == [
        "result['members'] is [0, 2], expected [2, 0].",
        "The right entries in the wrong order.",
    ]
    assert mismatch({"members": [0, 2]}, expected).mistake is Mistake.ORDER
    assert said({"members": [0, 1]}, expected) == ["result['members'] is [0, 1], expected [2, 0]."]
    assert said({"members": [0, 2.0]}, expected)[0] == "result['members'][1] is a float (2.0), expected an int."
    assert said(list(range(1, 21)), list(range(20)))[0] == "result[0] is 1, expected 0."


def test_exact_and_previous_follow_into_nested_structures():
    """Both have the structure of what is expected; a part without a previous value is compared without one."""
    before, after = weights(37), weights(37)
    expected = {"w": [after], "b": after.float(), "n": 1}
    exact = {"w": [after], "b": after, "n": 1}
    assert_matches(expected, expected, exact=exact, previous=None)
    stale = expected | {"w": [before]}
    assert "values from before" in mismatch(stale, expected, exact=exact, previous={"w": [before]}).diagnosis
    assert mismatch(stale, expected, exact=exact, previous={"w": before}).diagnosis is None


def test_parts_that_do_not_fit_are_told_before_numbers():
    """A missing entry explains wrong numbers elsewhere, so it is reported first, and the numbers are listed."""
    difference = mismatch(PerRank([{"a": 1.0, "b": [1]}, {"a": 2.0, "b": []}]), {"a": 1.0, "b": [1]})
    assert (difference.path, difference.rank) == ("result['b']", 1)
    assert difference.also_wrong == ("result['a']",)
    assert (difference.wrong_ranks, difference.right_ranks) == ((1,), (0,))


def test_absurd_structures_are_refused_in_one_line():
    """A rank may return anything of any depth or size; the message stays short and nothing recurses."""
    deep = []
    for _ in range(100_000):
        deep = [deep]
    assert mismatch(deep, weights(2)).problem == "is a list ([[[[...]]]]), expected a Tensor."
    assert mismatch([deep], [[[]]]).path == "result[0][0]"
    assert mismatch(deep, {"a": 1}).problem == "is a list ([[[[...]]]]), expected a dict."
    assert mismatch({"a": 1} | {str(i): i for i in range(100_000)}, {"a": 1, "b": 2}).problem.endswith(
        "which nobody expects."
    )
    assert len(str(mismatch({"k" * 10**6: 1}, {"a": 1}))) < 500
    assert len(str(mismatch("x" * 10**6, "y"))) < 500
    assert mismatch(10**5000, 5).problem == "is an int too long to show, expected 5."
    assert mismatch(10**5000, 1.0).actual == math.inf
    assert mismatch(-(10**5000), 1.0).actual == -math.inf


def test_a_mistake_with_a_signature_is_named_by_the_test():
    """What a test knows a mistake to give is named if it explains all that is wrong, on every rank."""
    total, count = weights(3), {"a": 5.0}
    right = {"loss": total / 5.0, "count": count}
    mistakes = {"padding is counted": {"loss": total / 8.0, "count": count}, Mistake.STALE: PerRank([right, total])}

    padded = PerRank([{"loss": total / 8.0, "count": count}] * 2)
    assert (
        mismatch(padded, right, mistakes=mistakes).diagnosis
        == "That is what comes of this mistake: padding is counted."
    )
    half_padded = PerRank([padded[0], {"loss": total / 7.0, "count": count}])
    assert "padding" not in (mismatch(half_padded, right, mistakes=mistakes).diagnosis or "")
    stale = mismatch(PerRank([right, total]), right, mistakes=mistakes)
    assert (stale.mistake, stale.diagnosis) == (Mistake.STALE, f"That is what comes of this mistake: {Mistake.STALE}.")


def test_complex_tensors_are_refused():
    """The test's author reads how to compare complex tensors."""
    x = torch.ones(2, dtype=torch.complex128)
    with pytest.raises(CatalogError, match="view_as_real"):
        assert_matches(x, x)


def test_parameters_and_views_are_values():
    """A reference may be a parameter, a transposed view or a tensor subclass of torch's own."""
    x = weights(3, 4)
    assert_matches(x.T.contiguous(), torch.nn.Parameter(x).T)
    assert_matches(x, torch.nn.Parameter(x))
    assert_matches((3, 4), x.shape)


def test_inputs_are_left_alone():
    """Comparing changes neither side."""
    actual, expected = weights(5), weights(5)
    copies = actual.clone(), expected.clone()
    mismatch(actual, expected)
    assert torch.equal(actual, copies[0])
    assert torch.equal(expected, copies[1])


def test_eight_ranks_of_a_million_doubles_take_well_under_a_second():
    """Comparing 64 MB costs less than launching the ranks that made them."""
    xs = PerRank(weights(8, 1_000_000))
    ys = PerRank(x * (1 + 1e-12) for x in xs)
    start = time.process_time()
    assert_matches(ys, xs)
    assert time.process_time() - start < 1.0
