"""A launch that hangs is explained: who waits where, for whom, and why that never ends."""

import pytest

from grader.harness.comm.waiting import who_waits
from tests.harness.recorded_ranks import Recorded, log


def told(*ranks: Recorded, states: list[str] | None = None) -> str:
    """Return what is said of these ranks; they run at an unknown line unless `states` says otherwise."""
    return who_waits(log(*ranks), states or [""] * len(ranks))


def test_two_receives():
    """Two ranks that both receive wait for each other."""
    assert told(Recorded().stuck("recv", 27, peer=1), Recorded().stuck("recv", 27, peer=0)) == (
        "rank 0 waits in recv(src=1) at x.py:27; rank 1 waits in recv(src=0) at x.py:27: both wait, nobody sends."
    )


def test_two_sends():
    """Two ranks that both send wait for each other, because a send is a rendezvous."""
    assert told(Recorded().stuck("send", 5, peer=1), Recorded().stuck("send", 5, peer=0)) == (
        "rank 0 waits in send(dst=1) at x.py:5; rank 1 waits in send(dst=0) at x.py:5: "
        "both send, nobody receives; a send returns only when the receive for it has been posted."
    )


def test_a_ring_of_sends():
    """A ring in which everybody sends first never turns."""
    text = told(*(Recorded(3).call("barrier").stuck("send", 5, peer=(rank + 1) % 3) for rank in range(3)))

    assert text.endswith("all send, nobody receives; a send returns only when the receive for it has been posted.")


def test_a_circle_beside_others():
    """Who is in the circle is said where not all are."""
    ranks = [
        Recorded(3).stuck("recv", 1, peer=1),
        Recorded(3).stuck("recv", 1, peer=0),
        Recorded(3).stuck("recv", 2, peer=0),
    ]

    assert told(*ranks).endswith("rank 2 waits in recv(src=0) at x.py:2: both wait (ranks 0, 1), nobody sends.")


def test_a_circle_of_different_operations():
    """A collective on one side and a message on the other make a circle, too."""
    text = told(Recorded().stuck("all_reduce", 3), Recorded().stuck("recv", 8, peer=0))

    assert text == (
        "rank 0 waits in all_reduce at x.py:3; rank 1 waits in recv(src=0) at x.py:8: "
        "they wait for each other in a circle, 0 -> 1 -> 0."
    )


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("has returned", "it has returned"),
        ("is at ring.py:40 in work", "it is at ring.py:40 in work"),
        ("", "it is running"),
    ],
)
def test_a_collective_that_one_rank_never_called(state, said):
    """The ranks that wait are named together, the missing one with what it did instead."""
    ranks = [Recorded(3).call("barrier").stuck("all_reduce", 12), Recorded(3).call("barrier").stuck("all_reduce", 12)]

    text = told(*ranks, Recorded(3).call("barrier"), states=["", "", state])

    assert text == f"ranks 0, 1 wait in all_reduce at x.py:12; rank 2 never called it: {said}."


def test_several_ranks_that_never_came():
    """Ranks that did the same are named together."""
    text = told(Recorded(3).stuck("barrier"), Recorded(3), Recorded(3), states=["", "has returned", "has returned"])

    assert text == "rank 0 waits in barrier at x.py:1; ranks 1, 2 never called it: they have returned."


def test_different_collectives():
    """Members of a group that call different collectives are told to keep the order."""
    text = told(Recorded().stuck("all_reduce", 3), Recorded().stuck("barrier", 4))

    assert text == (
        "rank 0 waits in all_reduce at x.py:3; rank 1 waits in barrier at x.py:4: "
        "every rank of a group must call the same collectives in the same order."
    )


def test_two_groups_in_opposite_order():
    """Two groups that are entered in opposite order make a circle."""
    one, other = {"name": "1", "ranks": (0, 1)}, {"name": "2", "ranks": (1, 0)}

    text = told(Recorded(3).stuck("all_reduce", 3, **one), Recorded(3).stuck("all_reduce", 4, **other), Recorded(3))

    assert "rank 0 waits in all_reduce of ranks 0, 1 at x.py:3" in text
    assert text.endswith("they wait for each other in a circle, 0 -> 1 -> 0.")


def test_a_wrong_tag():
    """A send and a receive that miss each other by their tags are brought together in words."""
    text = told(Recorded().stuck("send", 3, peer=1, tag=1), Recorded().stuck("recv", 4, peer=0, tag=2))

    assert text == (
        "rank 0 waits in send(dst=1, tag=1) at x.py:3; rank 1 waits in recv(src=0, tag=2) at x.py:4: "
        "the tags differ: rank 0 sends with tag 1, rank 1 receives with tag 2."
    )


def test_a_wrong_tag_on_an_operation_in_flight():
    """The other side need not wait for the operation with the wrong tag."""
    text = told(
        Recorded().issue("isend", 4, peer=1).stuck("recv", 3, peer=1),
        Recorded().issue("send", tag=5, peer=0).stuck("barrier", 9),
    )

    assert "the tags differ: rank 1 sends with tag 5, rank 0 receives with tag 0." in text


def test_a_wait_for_an_asynchronous_operation():
    """Both lines are told: where the operation was issued and where it is waited for."""
    rank = Recorded().issue("recv", peer=1, line=20).wait(line=27)

    text = told(rank, Recorded(), states=["", "has returned"])

    assert (
        text
        == "rank 0 waits at x.py:27 for its irecv(src=1) of x.py:20; rank 1 has returned: rank 1 has not sent to rank 0."
    )


def test_a_send_to_a_rank_that_computes():
    """Without a circle the partner that does not come is named."""
    text = told(Recorded().stuck("send", 3, peer=1), Recorded(), states=["", "is at x.py:9 in solve"])

    assert text == (
        "rank 0 waits in send(dst=1) at x.py:3; rank 1 is at x.py:9 in solve: rank 1 has not received from rank 0."
    )


def test_a_send_that_nobody_waited_for():
    """A receive that waits for a message which its sender issued and dropped is not told that nothing was sent."""
    sender = Recorded().call("send", peer=1).issue("send", peer=1, line=12)
    receiver = Recorded().call("recv", peer=0).stuck("recv", 20, peer=0)

    assert told(sender, receiver, states=["has returned", ""]) == (
        "rank 1 waits in recv(src=0) at x.py:20; rank 0 has returned: "
        "rank 0 issued isend(dst=1) at x.py:12 and never waited for it. A message is lost with its handle: keep it and wait() for it."
    )


def test_a_receive_that_nobody_waited_for():
    """The same holds for a send whose receive was dropped, although the receiver waits for something else."""
    text = told(
        Recorded().stuck("send", 5, peer=1), Recorded().issue("recv", peer=0, line=7, tag=0).stuck("recv", 8, peer=0)
    )

    assert "rank 1 issued irecv(src=0) at x.py:7 and never waited for it." in text
    assert "circle" not in text


def test_a_ring_of_sends_that_nobody_waited_for():
    """Ranks that all wait for dropped messages are not told that nobody sends."""
    ring = [
        Recorded(3).issue("send", peer=(rank + 1) % 3, line=12).stuck("recv", 13, peer=(rank - 1) % 3)
        for rank in range(3)
    ]

    assert told(*ring).endswith(
        "rank 0 issued isend(dst=1) at x.py:12 and never waited for it, "
        "rank 1 issued isend(dst=2) at x.py:12 and never waited for it, "
        "rank 2 issued isend(dst=0) at x.py:12 and never waited for it. "
        "A message is lost with its handle: keep it and wait() for it."
    )


def test_an_operation_that_only_ddp_waits_for():
    """An all-reduce whose future was taken, and to which a rank has not come, is what keeps its rank."""
    rank = Recorded().issue("all_reduce", line=40).take_future()

    text = told(rank, Recorded(), states=["is at x.py:40 in train", "has returned"])

    assert text == "rank 0 waits for its all_reduce at x.py:40; rank 1 never called it: it has returned."


def test_futures_of_operations_that_all_ranks_came_to_keep_nobody():
    """A completed all-reduce of DDP, whose end nobody journals, is not blamed."""
    ranks = [Recorded().issue("all_reduce").take_future() for _ in range(2)]

    assert told(*ranks, states=["is at x.py:3 in solve"] * 2) == "ranks 0, 1 are at x.py:3 in solve."


def test_a_group_that_one_rank_does_not_make():
    """Making a group waits for its members."""
    rank = Recorded(3).new_group("1", [0, 2], 5, made=False)

    text = told(
        rank, Recorded(3), Recorded(3), states=["is at x.py:5 in solve", "has returned", "is at x.py:7 in solve"]
    )

    assert text == (
        "rank 0 waits in new_group of ranks 0, 2 at x.py:5; rank 1 has returned; rank 2 never called it: it is at x.py:7 in solve."
    )


def test_no_rank_communicates():
    """Ranks that merely run are said to run."""
    assert told(Recorded(), Recorded(), states=["is at x.py:3 in solve", ""]) == (
        "rank 0 is at x.py:3 in solve; rank 1 is running."
    )


HANGS = {
    "dist.recv(x, other)": "rank 0 waits in recv(src=1) at work.py:5; rank 1 waits in recv(src=0) at work.py:5: both wait",
    "dist.irecv(x, other).wait()": "rank 0 waits in irecv(src=1) at work.py:5",
    "dist.isend(x, 1) and None if other else (time.sleep(0.3), dist.recv(x, 0))": "rank 0 issued isend(dst=1) at work.py:5 and never waited for it",
    "dist.send(x, 1, tag=1) if other else dist.recv(x, 0, tag=2)": "the tags differ: rank 0 sends with tag 1",
    "dist.all_reduce(x) if other else None": "rank 0 waits in all_reduce at work.py:5; rank 1 never called it: it has returned.",
    "dist.all_reduce(x) if other else dist.barrier()": "must call the same collectives in the same order",
    "dist.new_group([0, 1]) if other else time.sleep(9)": "rank 0 waits in new_group at work.py:5; rank 1 never called it",
    "ddp(backward=other)": "rank 0 waits for its all_reduce at work.py:10; rank 1 never called it: it has returned.",
}


@pytest.mark.parametrize(("line", "expected"), HANGS.items(), ids=range(len(HANGS)))
def test_real_hangs(ranks, line, expected):
    """What is said of real launches that were cut."""
    ranks.write(
        f"""
        import time, torch, torch.distributed as dist
        def solve():
            other, x = 1 - dist.get_rank(), torch.ones(2)
            {line}
        def ddp(backward):
            model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(2, 2))
            loss = model(torch.ones(1, 2)).sum()
            if backward:
                loss.backward()
        """
    )

    with pytest.raises(AssertionError) as caught:
        ranks.run(2, timeout_s=1.0)

    assert expected in str(caught.value)
