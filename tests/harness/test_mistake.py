"""The kind of mistake that travels beside an explanation, and holds nothing of what was compared."""

import math

import pytest
import torch

from grader.harness import PerRank
from grader.harness.mistake import Mistake
from grader.harness.outcome import StudentFailure
from tests.harness.comparing import mismatch, weights
from tests.harness.recorded_ranks import Recorded, log

pytestmark = pytest.mark.usefixtures("seed")


def kind(actual, expected, **options):
    """Return the kind of mistake, of lists of one tensor per rank."""
    return mismatch(PerRank(actual), PerRank(expected), **options).mistake


VALUE = {
    Mistake.SUM_FOR_MEAN: lambda x: 4 * x,
    Mistake.MEAN_FOR_SUM: lambda x: x / 4,
    Mistake.SIGN: lambda x: -x,
    Mistake.TWICE: lambda x: 2 * x,
    Mistake.HALF: lambda x: x / 2,
    Mistake.WORLD_SIZE: lambda x: 16 * x,
    Mistake.SCALE: lambda x: 1.37 * x,
    Mistake.OFFSET: lambda x: x + 0.75,
    Mistake.ZEROS: torch.zeros_like,
    Mistake.NOT_FINITE: lambda x: x * math.nan,
    Mistake.DIGITS_LOST: lambda x: x.float().double(),
    Mistake.FRACTION_LOST: torch.trunc,
    Mistake.TRANSPOSED: lambda x: x.T.contiguous(),
    Mistake.SHIFTED: lambda x: x.roll(1, 0),
    Mistake.ORDER: lambda x: x.flip(0),
    Mistake.VALUES: lambda x: x + weights(7, 7),
}


@pytest.mark.parametrize(("mistake", "wrong"), VALUE.items(), ids=VALUE.keys())
def test_wrong_numbers_have_a_kind(mistake, wrong):
    """Each mistake that has an explanation has its kind; one without has the kind "wrong values"."""
    expected = 100 * weights(7, 7)
    assert mistake is kind([wrong(expected)] * 4, [expected] * 4)


def test_a_root_on_the_wrong_side_has_a_kind():
    """The root of the world size is told apart from other factors."""
    expected = weights(37)
    assert Mistake.ROOT is kind([expected * 3**0.5] * 3, [expected] * 3)


def test_a_step_from_the_values_before_has_a_kind():
    """A step not taken, one too long, and old values left in are three kinds."""
    before, step = weights(37), 0.1 * weights(37)
    expected = [before + step] * 4
    assert Mistake.STALE is kind([before] * 4, expected, previous=before)
    assert Mistake.SUM_FOR_MEAN is kind([before + 4 * step] * 4, expected, previous=before)
    assert Mistake.SCALE is kind([before + 1.7 * step] * 4, expected, previous=before)
    assert Mistake.STALE_COUNTED is kind([2 * before + step] * 4, expected, previous=before)


def test_numbers_on_the_wrong_rank_have_a_kind():
    """Another rank's values, parts never reduced or gathered, and one right rank or block are told apart."""
    parts, whole = [weights(8, 3) for _ in range(4)], weights(8, 3)
    own = [torch.zeros_like(whole) for _ in range(4)]
    for rank, rows in enumerate(own):
        rows[2 * rank : 2 * rank + 2] = whole[2 * rank : 2 * rank + 2]
    block = torch.cat([whole[:6], weights(2, 3)])
    assert Mistake.OTHER_RANK is kind(parts[1:] + parts[:1], parts)
    assert Mistake.NOT_REDUCED is kind(parts, [sum(parts)] * 4)
    assert Mistake.NOT_GATHERED is kind(own, [whole] * 4)
    assert Mistake.ONE_BLOCK is kind([block] * 4, [whole] * 4)
    assert Mistake.ONE_RANK is kind([weights(8, 3), whole, weights(8, 3)], [whole] * 3)


def test_the_kind_is_that_of_what_is_told():
    """Where structures part, the kind is that of the misfit, whatever numbers differ elsewhere."""
    assert Mistake.LENGTH is kind([{"a": 2.0, "b": []}], [{"a": 1.0, "b": [1]}])


SOLVE = "import os, sys, time, torch\nimport torch.distributed as dist\ndef solve():\n    rank = dist.get_rank()\n    "

ENDS = {
    Mistake.IMPORT: "return 1\nthis is no Python",
    Mistake.MISSING_NAME: "return 1\ndel solve",
    Mistake.NOT_ATTEMPTED: "raise NotImplementedError('TODO(solve)')",
    Mistake.EXCEPTION: "raise ValueError('no')",
    Mistake.EXIT: "sys.exit(0)",
    Mistake.NOT_DATA: "return object()",
    Mistake.CRASHED: "os._exit(0)",
    Mistake.DEADLINE: "time.sleep(60)",
    Mistake.DEADLOCK: "dist.barrier() if rank == 0 else time.sleep(60)",
    Mistake.PEER: "dist.isend(torch.ones(2), group_dst=rank)",
    Mistake.NO_GRAPH: "torch.ones(1).backward()",
    Mistake.INPLACE: "x = torch.ones(2, requires_grad=True).exp(); y = x * x; x.mul_(2); y.sum().backward()",
    Mistake.STRIDES: "torch.ones(2, 3).t().view(-1)",
    Mistake.DTYPE: "dist.all_reduce(torch.ones(2, dtype=torch.int16))",
    Mistake.MISMATCH: "dist.recv(torch.ones(2, dtype=torch.int32), 0) if rank else dist.send(torch.ones(2), 1)",
}


@pytest.mark.parametrize(("mistake", "body"), ENDS.items(), ids=ENDS.keys())
def test_an_end_of_a_launch_has_a_kind(ranks, mistake, body):
    """A launch that fails in any way has a kind of mistake."""
    ranks.write(SOLVE + body)

    with pytest.raises(StudentFailure) as caught:
        ranks.run(2, timeout_s=2.0)

    assert mistake is caught.value.mistake, caught.value


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("dist.isend(x, group_dst=rank)", "sends to itself: gloo has no connection from a rank to itself."),
        ("dist.irecv(x, group_src=rank)", "receives from itself: gloo has no connection from a rank to itself."),
        ("dist.send(x, group_dst=rank + 2)", "sends to group rank 2, and in the group there are only the ranks 0 to 1."),
        ("dist.recv(x, group_src=rank - 1)", "receives from group rank -1, and in the group there are only the ranks 0 to 1."),
    ],
)  # fmt: skip
def test_a_peer_that_cannot_be_is_told(ranks, call, said):
    """A message to oneself makes gloo answer with a riddle, and one to a rank that is not there with a crash or a hang."""
    ranks.write(f"{SOLVE}x = torch.ones(2)\n    if rank == 0:\n        {call}")

    with pytest.raises(StudentFailure) as caught:
        ranks.run(2, timeout_s=5.0)

    assert str(caught.value).startswith(f"Rank 0 of 2 {said}\n  programs.py:3")
    assert "work.py:" in str(caught.value)


def test_a_root_outside_the_group_is_told(ranks):
    """The group is named by its ranks, not by a class of ours."""
    ranks.write(
        f"{SOLVE}group = dist.new_group([1])\n    if rank == 1:\n        dist.broadcast(torch.ones(2), 0, group)"
    )

    with pytest.raises(
        StudentFailure, match="Global rank 0 is not part of group of global ranks 1\nA root, "
    ) as caught:
        ranks.run(2)

    assert caught.value.mistake is Mistake.PEER


def test_a_crash_that_a_mismatch_explains_is_a_mismatch(ranks):
    """A rank that gets more than it has room for is aborted by gloo: the kind is the cause, not the signal."""
    ranks.write(f"{SOLVE}dist.all_reduce(torch.ones(1 + 1000 * rank))")

    with pytest.raises(StudentFailure) as caught:
        ranks.run(2, timeout_s=5.0)

    assert caught.value.mistake is Mistake.MISMATCH, caught.value


def test_an_error_in_the_tests_own_program_is_told_as_such(ranks):
    """Where only the program works with what the student's code returned, its exception is no exception of that code."""
    ranks.write(f"{SOLVE}return {{}}", program="def program(student):\n    return {'value': student.solve()['y']}\n")

    with pytest.raises(StudentFailure) as caught:
        ranks.run(2)

    assert caught.value.mistake is Mistake.UNUSABLE
    assert "\nThat was in the test's program, which could not go on with what your code returned" in str(caught.value)


def test_what_a_test_demands_of_communication_has_a_kind():
    """A call that is not allowed and a wait that was forgotten are two kinds."""
    message = log(Recorded().call("send", peer=1), Recorded().call("recv", peer=0))
    for mistake, check in (
        (Mistake.FOREIGN_CALL, lambda: message.assert_only("all_reduce")),
        (
            Mistake.NEVER_WAITED,
            log(Recorded().issue("send", peer=1), Recorded().call("recv", peer=0)).assert_waited_for,
        ),
    ):
        with pytest.raises(StudentFailure) as caught:
            check()
        assert caught.value.mistake is mistake


def test_messages_that_wait_for_each_other_are_told():
    """A chain takes as many rounds as it has links, which is more than a ring needs."""
    chain = log(
        Recorded(3).call("send", peer=1),
        Recorded(3).call("recv", peer=0).call("send", peer=2),
        Recorded(3).call("recv", peer=1),
    )

    chain.assert_rounds(at_most=2)
    with pytest.raises(StudentFailure, match=r"^2 messages take 2 rounds, .*; 1 are enough\.") as caught:
        chain.assert_rounds(at_most=1)
    assert caught.value.mistake is Mistake.IN_TURN
