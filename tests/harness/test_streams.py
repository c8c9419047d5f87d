"""The kernel's account of each connection fits messages that went where the record says, and no others."""

from collections.abc import Iterator

import pytest

from grader.harness.comm.log import CommLog
from grader.harness.comm.streams import misdirected
from grader.harness.launch.zygote_handle import ZygoteHandle
from grader.harness.outcome import StudentFailure
from grader.harness.protocol.wall import Wall
from grader.harness.trials.walls import problem
from tests.harness.recorded_ranks import Recorded, log

HEAD = """
import threading, torch
import torch.distributed as dist

rank, size = dist.get_rank, dist.get_world_size

def round_the_ring(numel, group=None):
    me, n = dist.get_rank(group), dist.get_world_size(group)
    sending = dist.isend(torch.zeros(numel), group_dst=(me + 1) % n, group=group)
    dist.recv(torch.zeros(numel), group_src=(me - 1) % n, group=group)
    sending.wait()

def invent(method, numel, peer):
    group = dist.group.WORLD
    issued = group.recorder.issue(group, method, ([torch.zeros(numel)], peer, 0), {})
    group.recorder.wait(issued.k)
    group.recorder.done(issued.k)
"""


@pytest.fixture(scope="module")
def zygote() -> Iterator[ZygoteHandle]:
    """A zygote that gives each launch a network of its own."""
    if (reason := problem(Wall.NESTED)) is not None:
        pytest.skip(f"This machine has no wall that counts: {reason}")
    with ZygoteHandle(wall=Wall.NESTED, preload=["torch"]) as running:
        yield running


@pytest.fixture
def solve(ranks):
    """Return a function that runs lines of student code on some ranks, to their verdict."""

    def run(world_size: int, *lines: str):
        body = "\n".join(f"    {line}" for line in lines)
        ranks.write(f"{HEAD}\ndef solve():\n{body}\n")
        return ranks.run(world_size)

    return run


HONEST = {
    "a ring": ["round_the_ring(20_000)"],
    "nothing": ["pass"],
    "many small messages": ["for _ in range(40):", "    round_the_ring(7)"],
    "a star": [
        "for other in range(1, size()):",
        "    if rank() == 0: dist.send(torch.zeros(9_000 * other), other)",
        "    if rank() == other: dist.recv(torch.zeros(9_000 * other))",
    ],
    "from anybody": [
        "if rank(): dist.send(torch.zeros(9_000), 0)",
        "else:",
        "    for _ in range(1, size()): dist.recv(torch.zeros(9_000))",
    ],
    "several groups": [
        "groups = [dist.new_group([0, other]) for other in range(1, size())] + [dist.new_group()]",
        "for group in groups:",
        "    if group is not dist.GroupMember.NON_GROUP_MEMBER: round_the_ring(5_000, group)",
    ],
    "a group that is closed": [
        "group = dist.new_group()",
        "round_the_ring(30_000, group)",
        "dist.destroy_process_group(group)",
    ],
    "all groups closed": ["round_the_ring(30_000)", "dist.destroy_process_group()"],
    "a thread that sends": [
        "thread = threading.Thread(target=round_the_ring, args=(20_000,))",
        "thread.start()",
        "thread.join()",
    ],
    "messages in a batch": [
        "next_one, last_one = (rank() + 1) % size(), (rank() - 1) % size()",
        "sending = dist.P2POp(dist.isend, torch.zeros(30_000), next_one)",
        "for work in dist.batch_isend_irecv([sending, dist.P2POp(dist.irecv, torch.zeros(30_000), last_one)]):",
        "    work.wait()",
    ],
    "barriers between": ["for _ in range(5):", "    round_the_ring(3_000)", "    dist.barrier()"],
}


@pytest.mark.parametrize("size", [2, 3, 8])
@pytest.mark.parametrize("lines", HONEST.values(), ids=HONEST)
def test_messages_went_where_the_record_says(solve, lines, size):
    """No honest launch fails, whatever it sends to whom and whichever groups it closes."""
    solve(size, *lines)


STAR = """
def star(group, numel):
    for other in range(1, size()):
        for sender, receiver in ((other, 0), (0, other)):
            if rank() == sender:
                group.send([torch.zeros(numel)], receiver, 0).wait()
            if rank() == receiver:
                group.recv([torch.zeros(numel)], sender, 0).wait()

def invent_a_ring(numel):
    invent('send', numel, (rank() + 1) % size())
    invent('recv', numel, (rank() - 1) % size())
"""
HEAD += STAR
FORGED = {
    "a star on record as a ring": [
        "star(dist.group.WORLD.inner, 30_000)",
        "invent_a_ring(60_000 * (size() - 1) // size())",
    ],
    "one pair that sends for all": [
        "group = dist.group.WORLD.inner",
        "if rank() == 0: group.send([torch.zeros(20_000 * size())], 1, 0).wait()",
        "if rank() == 1: group.recv([torch.zeros(20_000 * size())], 0, 0).wait()",
        "invent_a_ring(20_000)",
    ],
    "in a group that is closed": [
        "group = dist.new_group()",
        "star(group.inner, 30_000)",
        "invent_a_ring(60_000 * (size() - 1) // size())",
        "dist.destroy_process_group(group)",
    ],
}


@pytest.mark.parametrize("size", [3, 4])
@pytest.mark.parametrize("lines", FORGED.values(), ids=FORGED)
def test_a_record_of_as_many_bytes_elsewhere_is_seen(solve, lines, size):
    """Ranks that send as much as they recorded, but from and to others, fail."""
    with pytest.raises(StudentFailure, match="The ranks sent otherwise than they called"):
        solve(size, *lines)


def ring(size: int, numel: int) -> CommLog:
    """Return the record of a ring of messages."""
    ranks = [Recorded(size) for _ in range(size)]
    for me, rank in enumerate(ranks):
        rank.call("send", peer=(me + 1) % size, inputs=(numel,), dtype="float64", itemsize=8)
        rank.call("recv", peer=(me - 1) % size, inputs=(), outputs=(numel,), dtype="float64", itemsize=8)
    return log(*ranks)


def test_sizes_are_compared_largest_first():
    """Each stream must be as long as the record says, to within a few kilobytes."""
    sent = 96 + 8 * 20_000

    assert misdirected(ring(3, 20_000), [sent + 100, sent, sent - 100, 900]) is None
    assert "160,096 bytes are on record where the network carried 80,000" in misdirected(
        ring(3, 20_000), [sent, sent, 80_000, 80_000]
    )
    assert " 48 bytes are on record where the network carried 50,000" in misdirected(
        ring(3, 20_000), [sent, sent, sent, 50_000]
    )


def test_collectives_are_not_judged_by_connection():
    """Which rank writes how much in a collective is the library's business."""
    assert misdirected(log(*(Recorded(2).call("all_reduce") for _ in range(2))), [1_000_000]) is None
