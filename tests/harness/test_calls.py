"""Single calls of a student's function: what is told of a wrong value, a wrong type, an error too many or too few."""

import math

import pytest
import torch

from course_env.errors import CatalogError
from course_env.gpt_config import GPTConfig
from grader.harness import PerRank, assert_each_raises, assert_each_returns, assert_raised, assert_returns
from grader.harness.mistake import Mistake
from grader.harness.outcome import Outcome, StudentFailure

CALLS = [{"n": 1}, {"n": 2}, {"n": 3}]


def told(returned, expected, arguments=None, **options):
    """Return the explanation and the kind of mistake of one call of f that returned this."""

    def f(*_args, **_kwargs):
        return returned

    with pytest.raises(StudentFailure) as caught:
        assert_returns(f, {"n": 4} if arguments is None else arguments, expected, **options)
    return str(caught.value), caught.value.mistake


def ended(values, errors=None):
    """Return what a launch of `call_each` on one rank gives."""
    return {"values": PerRank([values]), "errors": PerRank([errors or [""] * len(values)])}


def told_of_each(values, expected, errors=None, **options):
    """Return the explanation and the kind of mistake of three calls of f."""
    with pytest.raises(StudentFailure) as caught:
        assert_each_returns(ended(values, errors), "f", CALLS, expected, **options)
    return str(caught.value), caught.value.mistake


def told_of_errors(errors, due, values=None):
    """Return the explanation and the kind of mistake of three calls of f that should have raised."""
    with pytest.raises(StudentFailure) as caught:
        assert_each_raises(ended(values or [None] * 3, errors), "f", CALLS, due)
    return str(caught.value), caught.value.mistake


def test_a_wrong_number_is_told_with_its_call_and_the_mistake():
    """The explanation names function, arguments, value, expectation and margin, and the mistake of that signature."""
    mistakes = {"log10 where the natural logarithm is due": 0.697, "a third mistake": 3.0}
    said, kind = told(0.697, 1.6044, {"n": 175e9}, abs=5e-5, why="(8.8e13 / n) ** 0.076", mistakes=mistakes)

    assert said == (
        "f(n=1.75e+11) returned 0.697, expected 1.6044 (within 5e-05): log10 where the natural logarithm is due.\n"
        "Why: (8.8e13 / n) ** 0.076."
    )
    assert kind is Mistake.VALUES


def test_a_signature_may_be_a_kind():
    """A mistake that is named by a member of `Mistake` gives the kind, which a student learns of a hidden test as well."""
    assert told(7, 5, mistakes={Mistake.STALE: 7})[1] is Mistake.STALE


def test_what_is_right_is_returned():
    """A test can go on with the value; an int will do for a float, and nan, inf and nested values are compared."""
    assert assert_returns(lambda a, b: a + b, (1, 2), 3) == 3
    assert_returns(lambda: 3, {}, 3.0)
    nested = {"a": (1.0, [math.nan, math.inf, None, "x"]), "b": torch.ones(2, dtype=torch.float64)}
    assert_returns(lambda: nested, {}, {"a": (1.0 + 1e-12, [math.nan, math.inf, None, "x"]), "b": nested["b"] + 1e-12})


@pytest.mark.parametrize(
    ("margin", "near", "far"),
    [
        ({}, 2.0 + 1e-9, 2.0 + 3e-9),
        ({"rel": 1e-3}, 2.0019, 2.0021),
        ({"abs": 0.5}, 2.49, 2.51),
        ({"rel": 1e-3, "abs": 0.5}, 2.49, 2.51),
    ],
)
def test_the_margin_is_the_larger_of_two(margin, near, far):
    """A float may be off by rel * |expected| or by abs, whichever is larger, and by 1e-9 of it where neither is given."""
    assert_returns(lambda: near, {}, 2.0, **margin)
    assert "expected 2" in told(far, 2.0, **margin)[0]


@pytest.mark.parametrize(
    ("returned", "expected", "said", "mistake"),
    [
        (None, 1.5, "returned None, expected 1.5: is a `return` missing?", Mistake.TYPE),
        ("1.5", 1.5, "returned '1.5', a str, expected a float: 1.5.", Mistake.TYPE),
        (6.0, 6, "returned 6.0, a float, expected an int: 6.", Mistake.TYPE),
        (True, 1, "returned True, a bool, expected an int: 1.", Mistake.TYPE),
        (torch.tensor(1.5), 1.5, "returned tensor(1.5, float32), a Tensor, expected a float: 1.5.", Mistake.TYPE),
        (1.5, torch.tensor(1.5), "returned 1.5, a float, expected a Tensor: tensor(1.5, float32).", Mistake.TYPE),
        ([1, 2], (1, 2), "returned [1, 2], a list, expected a tuple: (1, 2).", Mistake.TYPE),
        ((1, 2), (1, 2, 3), "returned (1, 2), which has 2 entries, expected 3.", Mistake.LENGTH),
        ((9, "2"), (1, 2), "returned (9, '2'): its [1] is a str ('2'), expected an int.", Mistake.TYPE),
        ({"a": 1}, {"b": 1}, "returned {'a': 1}, which lacks 'b' and has 'a', which nobody expects", Mistake.KEYS),
        ((1, 2, 4), (1, 2, 3), "returned (1, 2, 4), expected (1, 2, 3).", Mistake.VALUES),
        ((3, 1), (1, 3), "returned (3, 1), expected (1, 3): the right values in the wrong order.", Mistake.ORDER),
        ((1.0, 4.0), (1.0, 3.0), "returned (1.0, 4.0): its [1] is 4, expected 3 (within 3e-09).", Mistake.VALUES),
        (math.nan, 2.0, "returned nan, expected 2 (within 2e-09).", Mistake.NOT_FINITE),
        (10**400, 2.0, "returned inf, expected 2 (within 2e-09).", Mistake.NOT_FINITE),
        (10**400, 2, "returned an int of 1329 bits, expected 2.", Mistake.NOT_FINITE),
        (torch.ones(2, 3), torch.ones(3, 2), "which has shape (2, 3), expected (3, 2): transposed?", Mistake.TRANSPOSED),
        (torch.ones(2), torch.ones(2, dtype=torch.float64), "which has dtype float32, expected float64.", Mistake.DTYPE),
    ],
)  # fmt: skip
def test_types_come_before_values(returned, expected, said, mistake):
    """No answer, another type, length or shape are told as such, before any number is looked at."""
    text, kind = told(returned, expected)

    assert said in text
    assert mistake is kind


@pytest.mark.parametrize(
    ("returned", "expected", "cause"),
    [
        (-1.2345, 1.2345, "the sign is flipped"),
        (123.45, 1.2345, "yours is 100 times what is expected"),
        (1.2345 / 8, 1.2345, "yours is 1/8 of what is expected"),
        (1.2345 * 1.024**3, 1.2345, "GB and GiB are mixed up"),
        (4 * 124_439_808, 124_439_808, "yours is 4 times what is expected"),
        (1.2345 * 1.9, 1.2345, None),
        (6, 3, None),
        (0.0, 1.2345, None),
    ],
)
def test_a_factor_is_told_where_it_is_no_chance(returned, expected, cause):
    """A factor out of a short list is named where nine digits agree, and not where two small ints differ."""
    assert told(returned, expected)[0].partition("): " if isinstance(expected, float) else ": ")[2] == (
        f"{cause}." if cause else ""
    )


def test_a_margin_that_is_wide_proves_no_factor():
    """That a number is within 1 % of a multiple is not told."""
    assert "times" not in told(200.9, 100.0, rel=1e-2)[0]
    assert "2 times" in told(200.009, 100.0, rel=1e-2)[0]


def test_arguments_are_shown_as_one_types_them():
    """Floats are exact, value types leave out defaults, long lists and tensors are cut."""
    cfg = GPTConfig(vocab_size=40, n_layer=1, n_head=6, d_model=24, max_seq=8)
    said, _ = told(1, 2, {"cfg": cfg, "x": 0.1 + 0.2, "t": torch.zeros(5, 7), "many": list(range(100))})

    shown = "f(cfg=GPTConfig(vocab_size=40, n_layer=1, n_head=6, d_model=24, max_seq=8, d_ff=96, n_kv_head=6), x=0.30000000000000004, "
    assert said.startswith(f"{shown}t=a tensor of shape (5, 7), float32, many=[0, 1, 2, 3")
    assert len(said) < 400


def test_an_error_is_told_with_its_call():
    """Where the call raises, the launch's explanation stays, with outcome and kind, and the call is added."""

    def f(n):
        raise StudentFailure(f"raised at {n}", outcome=Outcome.TIMED_OUT, mistake=Mistake.DEADLOCK)

    with pytest.raises(StudentFailure, match=r"raised at 3\nThe call was f\(n=3\)\.") as caught:
        assert_returns(f, {"n": 3}, 1)
    assert (caught.value.outcome, caught.value.mistake) == (Outcome.TIMED_OUT, Mistake.DEADLOCK)


def test_a_stub_is_told_as_a_stub():
    """What is wrong with the file is told once, so its text is the same for every call."""

    def f(n):
        raise StudentFailure("Not attempted yet.", outcome=Outcome.NOT_ATTEMPTED)

    with pytest.raises(StudentFailure, match=r"^Not attempted yet\.$"):
        assert_returns(f, {"n": 3}, 1)


def test_the_first_wrong_call_is_told_and_the_others_counted():
    """Of many calls the explanation names one, and says how many are wrong."""
    said, _ = told_of_each([1, 5, 7], [1, 2, 3])

    assert said == "f(n=2) returned 5, expected 2.\nThis is the first of 2 calls that are wrong, of 3."
    assert_each_returns(ended([1, 2, 3]), "f", CALLS, [1, 2, 3])


def test_a_mistake_is_named_if_it_explains_every_wrong_call():
    """A signature that fits one wrong call and not the other is no explanation."""
    mistakes = {"one more": [2, 3, 4], "twice": [2, 4, 6]}

    assert "expected 2: twice." in told_of_each([1, 4, 6], [1, 2, 3], mistakes=mistakes)[0]
    assert "twice" not in told_of_each([1, 4, 7], [1, 2, 3], mistakes=mistakes)[0]


def test_the_rank_is_told_where_there_are_several():
    """In a launch of several ranks each is looked at."""
    run = {"values": PerRank([[1], [2]]), "errors": PerRank([[""], [""]])}
    with pytest.raises(StudentFailure, match=r"f\(n=1\) on rank 1 returned 2, expected 1\."):
        assert_each_returns(run, "f", CALLS[:1], [1])


def test_values_and_errors_may_be_due_in_one_launch():
    """ValueError among the expected values means that the call must raise it."""
    errors = ["", "ValueError: no", ""]
    assert_each_returns(ended([1, None, 3], errors), "f", CALLS, [1, ValueError, 3])
    said, kind = told_of_each([1, 2, 3], [1, ValueError, 3])

    assert said == "f(n=2) returned 2, and should raise ValueError."
    assert kind is Mistake.DID_NOT_RAISE


@pytest.mark.parametrize(
    ("errors", "said", "mistake"),
    [
        (["ValueError: a", "", ""], "f(n=2) returned None, and should raise ValueError.", Mistake.DID_NOT_RAISE),
        (
            ["ValueError: a", "TypeError: b (at f.py:3)", ""],
            "f(n=2) raised TypeError: b (at f.py:3), and should raise ValueError.",
            Mistake.OTHER_ERROR,
        ),
        (
            ["ValueError: a", "ValueError: b", "ValueError: c"],
            "f(n=3) raised ValueError: c, where an answer is due.",
            Mistake.EXCEPTION,
        ),
    ],
)
def test_errors_that_are_due_are_told_call_by_call(errors, said, mistake):
    """A call that does not raise, raises another error, or raises where it should answer is three kinds of mistake."""
    assert told_of_errors(errors, ["ValueError", "ValueError", ""]) == (said, mistake)


def test_an_error_that_one_rank_does_not_raise_is_told_with_the_rank():
    """What ranks report of one call is told as a call; a rank that does not take part reports None."""
    assert_raised(PerRank(["ValueError: a", None, "ValueError: b"]), "f(x)")
    with pytest.raises(
        StudentFailure, match=r"^f\(x\) on rank 2 did not raise, and should raise ValueError\.$"
    ) as caught:
        assert_raised(PerRank(["ValueError: a", None, ""]), "f(x)")
    assert caught.value.mistake is Mistake.DID_NOT_RAISE
    with pytest.raises(StudentFailure, match=r"^f\(x\) raised ValueError: a, and should raise KeyError\.$") as caught:
        assert_raised(PerRank(["ValueError: a"]), "f(x)", "KeyError")
    assert caught.value.mistake is Mistake.OTHER_ERROR


def test_errors_as_they_are_due_pass():
    """Each call ended as it should."""
    assert_each_raises(
        ended([None] * 3, ["ValueError: a", "", "ValueError: b"]), "f", CALLS, ["ValueError", "", "ValueError"]
    )


@pytest.mark.parametrize(
    "wrong_test",
    [
        lambda: assert_each_returns(ended([1, 2, 3]), "f", CALLS, [1, 2]),
        lambda: assert_each_returns(ended([1, 2, 3]), "f", CALLS, [1, 2, 3], mistakes={"short": [1]}),
        lambda: assert_each_raises(ended([1, 2, 3]), "f", CALLS, ["ValueError"]),
        lambda: assert_each_raises(ended([1, 2]), "f", CALLS, [""] * 3),
    ],
    ids=["fewer values", "a short mistake", "fewer errors", "fewer calls"],
)
def test_a_test_that_asks_for_nonsense_is_the_courses_fault(wrong_test):
    """Another number of ends than calls is a mistake of the test."""
    with pytest.raises(CatalogError, match=r"Correct the test"):
        wrong_test()
