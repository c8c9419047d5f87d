"""The rounds of a launch are the critical path of its messages."""

import pytest

from grader.harness.comm.log import CommLog
from tests.harness.recorded_ranks import Recorded, log


def messages(world_size: int, *pairs: tuple[int, int]) -> CommLog:
    """Return the log of blocking messages that each rank handles in the given order."""
    ranks = [Recorded(world_size) for _ in range(world_size)]
    for source, destination in pairs:
        ranks[source].call("send", peer=destination)
        ranks[destination].call("recv", peer=source)
    return log(*ranks)


@pytest.mark.parametrize(
    ("pairs", "rounds"),
    [
        ([], 0),
        ([(0, 1)], 1),
        ([(0, 4), (0, 2), (4, 6), (0, 1), (2, 3), (4, 5), (6, 7)], 3),
        ([(1, 0), (3, 2), (5, 4), (7, 6), (2, 0), (6, 4), (4, 0)], 3),
        ([(0, rank) for rank in range(1, 8)], 7),
        ([(rank, 0) for rank in range(1, 8)], 7),
        ([(rank, rank + 1) for rank in range(7)], 7),
    ],
    ids=["nothing", "one", "tree broadcast", "tree reduce", "star from root", "star to root", "chain"],
)
def test_rounds_are_the_critical_path(pairs, rounds):
    """A rank sends one message and receives one per round, and passes on only what it has received before."""
    assert messages(8, *pairs).rounds() == rounds


def test_a_ring_of_asynchronous_sends_takes_one_round_per_step():
    """A send and a receive at the same time share a round."""
    ring = [Recorded(3) for _ in range(3)]
    for _ in range(4):
        for rank, recorded in enumerate(ring):
            recorded.issue("send", peer=(rank + 1) % 3).issue("recv", peer=(rank - 1) % 3)
            recorded.wait(recorded.num_ops - 1).done(recorded.num_ops - 1).wait(recorded.num_ops - 2).done(
                recorded.num_ops - 2
            )

    assert log(*ring).rounds() == 4


def test_rounds_end_on_journals_that_make_no_sense():
    """A receive that ended before its send began does not hang the judge."""
    assert (
        log(
            Recorded().call("recv", peer=1).call("send", peer=1), Recorded().call("recv", peer=0).call("send", peer=0)
        ).rounds()
        == 0
    )
