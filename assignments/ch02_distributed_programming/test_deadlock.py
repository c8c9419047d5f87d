"""Public tests of exercise `find_deadlock`: the classic ways to wait for each other, and their cures."""

from dataclasses import replace

import pytest
import torch

from assignments.ch02_distributed_programming import programs
from course_env.communication import Coll, Deadlock, IRecv, ISend, Recv, Send, Wait
from course_env.rank_programs import call_each
from grader.harness import assert_arguments_kept, assert_each_raises, assert_matches, assert_returns, exercise

BOTH = (0, 1)
FINDS_NONE = "no rank is found blocked, where some are"
CASES = {
    "both send first": (
        [[Send(dst=1), Recv(src=1)], [Send(dst=0), Recv(src=0)]],
        {0: 0, 1: 0},
    ),
    "one sends, one receives first": (
        [[Send(dst=1), Recv(src=1)], [Recv(src=0), Send(dst=0)]],
        None,
    ),
    "both post the send and receive": (
        [[ISend(dst=1), Recv(src=1), Wait(request=0)], [ISend(dst=0), Recv(src=0), Wait(request=0)]],
        None,
    ),
    "both wait for the send at once": (
        [[ISend(dst=1), Wait(request=0), Recv(src=1)], [ISend(dst=0), Wait(request=0), Recv(src=0)]],
        {0: 1, 1: 1},
    ),
    "a posted receive lets both send": (
        [[IRecv(src=1), Send(dst=1), Wait(request=0)], [IRecv(src=0), Send(dst=0), Wait(request=0)]],
        None,
    ),
    "a ring in which all send first": (
        [[Send(dst=(r + 1) % 3), Recv(src=(r - 1) % 3)] for r in range(3)],
        {0: 0, 1: 0, 2: 0},
    ),
    "a third rank waits for the first two": (
        [[Send(dst=1), Recv(src=1)], [Send(dst=0), Recv(src=0)], [Coll(name="barrier", ranks=(2,)), Recv(src=0)]],
        {0: 0, 1: 0, 2: 1},
    ),
    "a receive that nobody serves": (
        [[Send(dst=1), Recv(src=1)], [Recv(src=0)]],
        {0: 1},
    ),
    "tags cross": (
        [[Send(dst=1, tag=1), Send(dst=1, tag=2)], [Recv(src=0, tag=2), Recv(src=0, tag=1)]],
        {0: 0, 1: 0},
    ),
    "collectives in different order": (
        [
            [Coll(name="all_reduce", ranks=BOTH), Coll(name="broadcast", ranks=BOTH)],
            [Coll(name="broadcast", ranks=BOTH), Coll(name="all_reduce", ranks=BOTH)],
        ],
        {0: 0, 1: 0},
    ),
    "a collective among a part of the ranks": (
        [
            [Coll(name="all_reduce", ranks=(0, 2)), Send(dst=1)],
            [Recv(src=0)],
            [Coll(name="all_reduce", ranks=(0, 2))],
        ],
        None,
    ),
    "nobody does anything": ([[], []], None),
}


def renumber(op, order, tag):
    """Return an operation in which rank r is called order[r], and tags are larger by `tag`."""
    match op:
        case Send() | ISend():
            return replace(op, dst=order[op.dst], tag=op.tag + tag)
        case Recv() | IRecv():
            return replace(op, src=order[op.src], tag=op.tag + tag)
        case Coll():
            return replace(op, ranks=tuple(sorted(order[rank] for rank in op.ranks)))
    return op


@exercise("find_deadlock", aspect="equivalence")
@pytest.mark.parametrize("case", CASES)
def test_classic_programs(student, case):
    """The ranks that never finish are found, each with the operation it is blocked in, and no others.

    Ranks and tags are numbered anew each time.
    """
    ranks, blocked = CASES[case]
    order, tag = torch.randperm(len(ranks)).tolist(), int(torch.randint(1000, ()))
    renumbered = [[renumber(op, order, tag) for op in ranks[order.index(new)]] for new in range(len(ranks))]
    due = None if blocked is None else Deadlock(blocked={order[r]: at for r, at in blocked.items()})
    assert_returns(student.find_deadlock, {"programs": renumbered}, due, why=case, mistakes={FINDS_NONE: None})


@exercise("find_deadlock", aspect="property")
def test_messages_do_not_overtake(student):
    """The first receive of a channel takes the first send, although only the second send is waited for."""
    sender = [ISend(dst=1), Send(dst=1)]
    why = "the first send is taken first, so the second one waits"
    assert_returns(
        student.find_deadlock,
        {"programs": [sender, [Recv(src=0)]]},
        Deadlock(blocked={0: 1}),
        why=why,
        mistakes={FINDS_NONE: None},
    )
    assert_returns(student.find_deadlock, {"programs": [sender, [Recv(src=0), Recv(src=0)]]}, None)


@exercise("find_deadlock", aspect="robustness")
def test_meaningless_operations_are_refused(launch):
    """A rank that does not exist, a Wait for no request, and a Coll without its caller raise ValueError."""
    meaningless = {
        "a send to a rank that does not exist": [[Send(dst=2)], []],
        "a Wait for itself": [[ISend(dst=1), Wait(request=1)], [Recv(src=0)]],
        "a Wait for a blocking send": [[Send(dst=1), Wait(request=0)], [Recv(src=0)]],
        "a Wait for a blocking receive": [[Send(dst=1)], [Recv(src=0), Wait(request=0)]],
        "a Coll without its caller": [[Coll(name="barrier", ranks=(1,))], [Coll(name="barrier", ranks=(1,))]],
    }
    fine = [[ISend(dst=1), Wait(request=0)], [Recv(src=0)]]
    calls = [{"programs": ranks} for ranks in (*meaningless.values(), fine)]
    run = launch(call_each, 1, shared={"function": "find_deadlock", "calls": calls}, process_group=False)
    assert_each_raises(run, "find_deadlock", calls, ["ValueError"] * len(meaningless) + [""])


@exercise("find_deadlock", aspect="robustness")
def test_the_programs_are_not_changed(launch):
    """The caller's lists hold the same operations afterwards: asked about them once more, the answer is the same."""
    for case in ("tags cross", "both wait for the send at once", "a receive that nobody serves"):
        ranks, blocked = CASES[case]
        run = launch(programs.find_deadlock_twice, 1, shared={"programs": ranks}, process_group=False)
        assert_arguments_kept(run, "programs")
        assert_matches(run["first"], Deadlock(blocked=blocked), what="the answer to a first call")
        assert_matches(run["second"], Deadlock(blocked=blocked), what="the answer to a second call with the same lists")
