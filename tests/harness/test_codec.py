"""Values that may travel between judge and rank arrive unchanged; all others are refused, on both sides."""

import sys
from fractions import Fraction

import pytest
import torch

from course_env.topology import DistEnv
from grader.harness.protocol.codec import (
    MAX_DEPTH,
    Allowance,
    MalformedTreeError,
    UnsupportedValueError,
    decode,
    encode,
)
from grader.harness.protocol.frame import MalformedFrameError, pack, unpack


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        -3,
        2**80,
        0.1,
        float("inf"),
        "naïve \ud800",
        Fraction(2, 6),
        [1, [2, (3,)]],
        (),
        {},
        {"a": {1: (None, "x")}, (1, 2): []},
        torch.float64,
        DistEnv(rank=1, local_rank=0, world_size=2, node_rank=1, master_addr="a", master_port=1),
    ],
    ids=repr,
)
def test_plain_values_arrive_as_they_were(value):
    """Every kind of plain value comes out of a frame unchanged, and so does its type."""
    arrived = unpack(pack("inputs", value)).value

    assert (type(value), value) == (type(arrived), arrived)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(6.0, dtype=torch.float64).reshape(2, 3),
        torch.arange(6).reshape(2, 3).T,
        torch.tensor(1.5),
        torch.empty(0, 3),
        torch.tensor([True, False]),
        torch.tensor([1.0, 2.0], dtype=torch.bfloat16),
        torch.tensor([float("nan"), float("inf")]),
        torch.ones(2, requires_grad=True) * 2,
    ],
    ids=["matrix", "transposed", "scalar", "empty", "bool", "bfloat16", "not-finite", "with-graph"],
)
def test_tensors_arrive_with_their_bits(tensor):
    """A tensor arrives with its dtype, shape and bits, contiguous and without its graph."""
    arrived = unpack(pack("inputs", {"x": tensor})).value["x"]

    assert arrived.is_contiguous()
    assert not arrived.requires_grad
    torch.testing.assert_close(arrived, tensor.detach(), rtol=0, atol=0, equal_nan=True)


def test_views_of_one_storage_arrive_apart():
    """Two views of one storage arrive with their own elements only, and no longer share storage."""
    base = torch.arange(4.0)

    first, second = unpack(pack("inputs", [base[:2], base[1:3]])).value
    first.zero_()

    assert [1.0, 2.0] == second.tolist()


class _Liar(list):
    """A subclass, which might lie about what it holds."""


@pytest.mark.parametrize(
    ("value", "named"),
    [(object(), "object"), (_Liar(), "_Liar"), ({1, 2}, "set"), ([1, {"k": 2j}], "complex")],
    ids=["object", "subclass", "set", "complex"],
)
def test_other_kinds_are_refused_by_name(value, named):
    """A value that does not travel is refused with its type and the list of those that do."""
    with pytest.raises(
        UnsupportedValueError, match=rf"{named}, which cannot be handed to the judge\. Allowed: None, bool"
    ):
        encode(value)


def test_the_place_of_a_refused_value_is_named():
    """The message says where in the value the refused part is."""
    with pytest.raises(UnsupportedValueError, match=r"the value\['a'\]\[1\] is a"):
        encode({"a": [1, object()]})


def test_tensor_subclasses_are_refused():
    """A subclass of Tensor, whose methods could do anything, never reaches the judge."""

    class Sneaky(torch.Tensor):
        pass

    with pytest.raises(UnsupportedValueError, match="Sneaky"):
        encode(torch.ones(2).as_subclass(Sneaky))


def test_deep_nesting_is_refused_on_both_sides():
    """Neither side recurses deeper than its bound."""
    value: list = []
    for _ in range(MAX_DEPTH + 5):
        value = [value]

    with pytest.raises(UnsupportedValueError, match="levels deep"):
        encode(value)
    with pytest.raises(MalformedTreeError, match="levels"):
        decode(value, {})


@pytest.mark.parametrize(
    "tree",
    [
        {"tensor": 0},
        {"tensor": "x"},
        {"value": ["DistEnv", {"rank": 1}]},
        {"value": ["os", {}]},
        {"fraction": [1, 0]},
        {"dtype": "nn"},
        {"dtype": "no_such"},
        {"dict": [[[], 1]]},
        {"dict": 3},
        {"tuple": None},
        {"unknown": 1},
        {"tuple": [], "dict": []},
    ],
    ids=str,
)
def test_forged_trees_are_refused(tree):
    """A tree that the encoder cannot have written raises MalformedTreeError and no other exception."""
    with pytest.raises(MalformedTreeError):
        decode(tree, {})


def test_a_forged_dtype_imports_nothing(monkeypatch):
    """A dtype's name that torch would import on demand is refused without an import."""
    monkeypatch.delitem(vars(torch), "_export", raising=False)
    monkeypatch.delitem(sys.modules, "torch._export", raising=False)

    with pytest.raises(MalformedTreeError):
        decode({"dtype": "_export"}, {})
    assert "torch._export" not in sys.modules


def test_a_dtype_that_does_not_travel_is_named():
    """The format of tensors in a frame knows fewer dtypes than torch; the message names the dtype."""
    with pytest.raises(UnsupportedValueError, match=r"A tensor of torch\.complex128 cannot be handed to the judge"):
        pack("returned", torch.ones(1, dtype=torch.complex128))


@pytest.mark.parametrize("cut", [0, 4, 23, 24, 30, -1], ids=str)
def test_cut_frames_are_refused(cut):
    """A frame without its end is refused."""
    with pytest.raises(MalformedFrameError):
        unpack(pack("inputs", {"x": torch.ones(3)})[:cut])


def test_forged_frames_are_refused():
    """Whichever byte is changed, the judge raises nothing but MalformedFrameError."""
    whole = bytearray(pack("inputs", {"x": torch.ones(3), "y": [1, "two"]}))
    for position in range(len(whole)):
        for flip in (0x01, 0x80):
            forged = bytearray(whole)
            forged[position] ^= flip
            try:
                unpack(bytes(forged))
            except MalformedFrameError:
                continue


def test_dicts_have_a_bounded_number_of_keys():
    """Student code can choose keys with equal hashes, each of which is compared with every other; so keys are bounded."""
    with pytest.raises(UnsupportedValueError, match="has 10001 keys, and at most 10000 travel"):
        encode(dict.fromkeys(range(10_001)))
    with pytest.raises(MalformedTreeError, match="more than 10000 keys"):
        decode({"dict": [[key, 0] for key in range(10_001)]}, {})


PRIME = (1 << 61) - 1  # Python's ints are hashed modulo this number


@pytest.mark.parametrize(
    "tree",
    [
        [PRIME * number for number in range(1, 100)],
        [{"tuple": [PRIME * number, 1]} for number in range(1, 100)],
        [{"tuple": [[{"tuple": [{"tuple": [PRIME * number]}]}][0]]} for number in range(1, 100)],
        [{"fraction": [PRIME * number, 1]} for number in range(1, 100)],
        {"dict": [[PRIME * number, 0] for number in range(1, 100)]},
    ],
    ids=["ints", "tuples", "nested-tuples", "fractions", "keys"],
)
def test_different_values_with_one_hash_are_refused(tree):
    """A set of values that all have one hash takes as many steps as there are pairs of them, so they do not arrive."""
    with pytest.raises(MalformedTreeError, match="More than 64 different values have the same hash"):
        decode(tree, {})


def test_values_that_collide_by_accident_arrive():
    """Zeros, powers of two, small and large numbers and equal texts are what honest code returns."""
    value = [[0] * 1000, [2**k for k in range(300)], [2.0**k for k in range(-1000, 1000)], ["a"] * 1000, [(1, -1)] * 99]

    assert value == decode(encode(value)[0], {})


def test_the_results_of_a_launch_share_one_allowance():
    """Where each rank alone stays below the bound on values, all ranks together do not pass it."""
    half, allowance = encode(list(range(30_000)))[0], Allowance()
    decode(half, {}, allowance)

    with pytest.raises(MalformedTreeError, match="more than 50000 values in what the ranks of this launch returned"):
        decode(half, {}, allowance)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([0] * 50_001, "there are more than 50000 values, and no more travel. Send a tensor instead"),
        ([[0] * 30_000] * 2, r"At the value\[1\]\[19997\] there are more than 50000 values"),
    ],
    ids=["one-list", "several"],
)
def test_the_number_of_values_is_bounded_where_they_are_returned(value, problem):
    """Who returns too many values is told so in the rank, with the place."""
    with pytest.raises(UnsupportedValueError, match=problem):
        encode(value)


def test_no_two_nodes_share_a_tensor():
    """A tree cannot name one large tensor thousands of times."""
    with pytest.raises(MalformedTreeError):
        decode([{"tensor": 0}, {"tensor": 0}], {"0": torch.ones(1)})


def test_a_test_may_hand_over_more_than_ranks_return():
    """Inputs come from a test: they may hold more values than a result, and any number of values of one hash."""
    inputs = [[(2**61 - 1) * factor for factor in range(100)], list(range(200_000))]
    tree, tensors = encode(inputs, allowance=Allowance(of_inputs=True))

    assert inputs == decode(tree, dict(enumerate(tensors)), Allowance(of_inputs=True))
    with pytest.raises(MalformedTreeError):
        decode(tree, {})
    with pytest.raises(UnsupportedValueError, match="more than 50000 values"):
        encode(inputs)
