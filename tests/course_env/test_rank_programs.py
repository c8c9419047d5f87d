"""The parts of rank programs report calls in one format, find the rank's group, and see writes and shared memory."""

from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from torch.testing._internal.distributed.fake_pg import FakeStore

from course_env.rank_programs import (
    WriteWatch,
    attempt,
    call_each,
    error_types,
    group_among,
    make_group,
    same,
    share_memory,
    stands_aside,
    tensors_in,
)


def half(n):
    """Return half of an even number."""
    if n % 2:
        raise ValueError(f"{n} is odd")
    return n // 2


@pytest.fixture
def rank():
    """Rank 1 of four, of which torch's fake backend stands for the others."""
    dist.init_process_group("fake", rank=1, world_size=4, store=FakeStore())
    yield 1
    dist.destroy_process_group()


def test_each_call_has_a_value_or_an_error():
    """A call that returned has "" as its error; one that raised has None as its value, and type and text as its error."""
    ends = call_each(SimpleNamespace(half=half), function="half", calls=[{"n": 4}, {"n": 3}])

    assert ends == {
        "values": [2, None],
        "errors": ["", "ValueError: 3 is odd"],
        "observed": {"written": [False, False]},
    }
    assert error_types(ends["errors"]) == ["", "ValueError"]


@pytest.mark.parametrize(
    ("function", "arguments"),
    [(list.clear, [1]), (dict.clear, {"a": 1}), (torch.Tensor.zero_, torch.ones(2)), (lambda x: x[0].zero_(), [torch.ones(2)])],
)  # fmt: skip
def test_a_call_that_changes_its_arguments_is_noticed(function, arguments):
    """Lists, dicts and tensors, and tensors in lists, are compared with copies that were made before the call."""
    ends = call_each(SimpleNamespace(f=lambda x: [None, function(x)][0]), function="f", calls=[{"x": arguments}])

    assert ends["observed"]["written"] == [True]


def test_a_stub_ends_the_program():
    """A stub's NotImplementedError is no answer to a call."""

    def fail():
        raise NotImplementedError("TODO(half)")

    with pytest.raises(NotImplementedError):
        call_each(SimpleNamespace(f=fail), function="f", calls=[{}])


def test_another_error_is_reported_and_is_no_value():
    """Of an error that is no ValueError the place is told as well, and the value is a text, which no test expects."""

    def fail(n):
        return 1 // n

    ends = call_each(SimpleNamespace(f=fail), function="f", calls=[{"n": 0}, {"n": 1}])

    place = f"(at test_rank_programs.py:{fail.__code__.co_firstlineno + 1})"
    error = f"ZeroDivisionError: integer division or modulo by zero {place}"
    assert (ends["errors"], ends["values"]) == ([error, ""], [f"raised {error}", 1])


def test_a_complex_number_is_reported_as_a_text():
    """A root of a negative number is complex, which does not travel: the test tells which call returned it."""
    ends = call_each(SimpleNamespace(f=lambda n: n**0.5), function="f", calls=[{"n": -1.0}])

    assert ends["values"][0].startswith("the complex number (")


def test_a_function_that_is_missing_is_no_answer():
    """A name that the student's file lacks is not reported as if a call had raised it."""
    with pytest.raises(AttributeError):
        call_each(SimpleNamespace(), function="half", calls=[{"n": 3}])


def test_other_exceptions_are_caught_where_they_are_asked_for():
    """The caller names what may be raised."""
    assert attempt(lambda: 1 // 0, (ZeroDivisionError,)) == (
        None,
        "ZeroDivisionError: integer division or modulo by zero",
    )


def test_a_kind_of_value_error_is_one():
    """It is reported under the name that the caller gave, and so may be any subclass of it."""

    def fail():
        raise UnicodeError("bad")

    assert attempt(fail) == (None, "ValueError: bad")


def test_a_group_has_the_order_of_its_members(rank):
    """The first member is group rank 0, whichever global rank it is."""
    assert dist.get_process_group_ranks(make_group([3, 1])) == [3, 1]


def test_all_ranks_are_the_default_group(rank):
    """Without members there is nothing to make, and nobody stands aside."""
    assert make_group(None) is None
    assert not stands_aside(None)


def test_a_rank_outside_of_a_group_stands_aside(rank):
    """A member does not."""
    assert stands_aside(make_group([0, 2]))
    assert not stands_aside(make_group([0, 1]))


def test_a_rank_gets_its_group_among_several(rank):
    """Without groups, and without one that this rank is in, there is the default group."""
    assert dist.get_process_group_ranks(group_among([[0, 2], [3, 1]])) == [3, 1]
    assert group_among(None) is None
    assert group_among([[0, 2]]) is None


def test_every_write_is_seen():
    """A write of the same value counts, one that goes round torch's count of writes counts, and reading does not."""
    read, same_value, behind, other = (torch.ones(3) for _ in range(4))
    watch = WriteWatch([read, same_value, behind, other])
    read.sum()
    same_value.fill_(1)
    behind.data[1] = 2
    other[0] = 5

    assert watch.written() == [False, True, True, True]


def test_a_tensor_that_takes_part_in_backward_is_not_written_to():
    """A leaf stays as it was, though it gets a gradient."""
    leaf = torch.tensor([1.0, torch.nan])
    watch = WriteWatch([leaf])
    (leaf.requires_grad_() * 2).sum().backward()

    assert watch.written() == [False]


def test_memory_is_shared_by_views_and_not_by_copies():
    """A view keeps all of its base alive, a part of it that does not overlap included; empty tensors keep nothing."""
    base = torch.arange(6.0)

    assert share_memory([torch.ones(1), base[:2]], [base[4:]])
    assert not share_memory([base.clone()], [base])
    assert not share_memory([torch.empty(0)], [torch.empty(0)])


def test_tensors_are_found_at_any_depth():
    """In lists, tuples and dicts, in their order."""
    a, b, c = (torch.ones(n) for n in (1, 2, 3))

    assert [len(tensor) for tensor in tensors_in({"x": [a, (b, 7)], "y": c, "z": "no"})] == [1, 2, 3]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (torch.ones(2), torch.ones(2).double()),
        (torch.ones(2), torch.ones(1, 2)),
        (torch.ones(1), 1.0),
        ([1], (1,)),
        ([1, 2], [1]),
        ({"a": 1}, {"b": 1}),
        ({"a": [torch.zeros(1)]}, {"a": [torch.ones(1)]}),
    ],
)
def test_what_differs_in_type_size_or_value_is_not_the_same(one, other):
    """Each differs in one of them, and is the same as itself."""
    assert not same(one, other)
    assert same(one, one)


def test_a_number_that_is_none_stays_the_same():
    """NaN equals NaN, so that an argument that holds one does not seem changed."""
    assert same(torch.tensor([torch.nan, 1]), torch.tensor([torch.nan, 1]))
