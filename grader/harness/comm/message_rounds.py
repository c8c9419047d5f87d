"""How many rounds the point-to-point messages of a launch need on an ideal network.

In one round a rank can send one message and receive one. A rank that has waited for a message sends what it issues
afterwards in a later round; messages that do not depend on each other share rounds. This is a Lamport clock that ticks with
every message of a rank, so a root that sends to everybody needs N - 1 rounds, and a tree ceil(log2 N).
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from grader.harness.comm.op import POINT_TO_POINT, CommOp, matched_messages


def count_rounds(ops_per_rank: Sequence[Sequence[CommOp]]) -> int:
    """Return the number of rounds of all messages; collectives do not count."""
    return _Playback(ops_per_rank).count()


class _MessageId(NamedTuple):
    rank: int
    k: int


def _id(op: CommOp) -> _MessageId:
    return _MessageId(op.rank, op.k)


class _Step(NamedTuple):
    """The issue or the end of one message on one rank."""

    position: int
    """Its index among the events of the rank."""

    op: CommOp
    is_issue: bool


class _Playback:
    """Plays what each rank did with its messages, and notes the round of each message."""

    def __init__(self, ops_per_rank: Sequence[Sequence[CommOp]]) -> None:
        self._send_of = {_id(receive): _id(send) for send, receive in matched_messages(ops_per_rank)}
        self._steps_left = [_steps(ops) for ops in ops_per_rank]
        num_ranks = len(ops_per_rank)
        self._waited_until = [0] * num_ranks  # the latest round of the messages that a rank has waited for
        self._last_sent = [0] * num_ranks
        self._last_received = [0] * num_ranks
        self._round_of_send: dict[_MessageId, int] = {}

    def count(self) -> int:
        """Play until no rank can go on, which happens before the end only if the journals make no sense."""
        went_on = [True]
        while any(went_on):
            went_on = [self._go_on(rank) for rank in range(len(self._steps_left))]
        return max((*self._last_sent, *self._last_received), default=0)

    def _go_on(self, rank: int) -> bool:
        """Play the steps of a rank until one must wait for another rank; return whether any was played."""
        steps = self._steps_left[rank]
        num_played = 0
        while num_played < len(steps) and self._play(rank, steps[num_played]):
            num_played += 1
        self._steps_left[rank] = steps[num_played:]
        return num_played > 0

    def _play(self, rank: int, step: _Step) -> bool:
        """Play one step; return False if it must wait for a step of another rank."""
        message = _id(step.op)
        if step.op.op == "send":
            if step.is_issue:
                self._send(rank, message)
            else:
                self._waited_until[rank] = max(self._waited_until[rank], self._round_of_send[message])
            return True
        if step.is_issue or message not in self._send_of:
            return True
        send = self._send_of[message]
        if send not in self._round_of_send:
            return False
        self._receive(rank, send)
        return True

    def _send(self, rank: int, message: _MessageId) -> None:
        self._last_sent[rank] = max(self._last_sent[rank], self._waited_until[rank]) + 1
        self._round_of_send[message] = self._last_sent[rank]

    def _receive(self, rank: int, send: _MessageId) -> None:
        self._last_received[rank] = max(self._last_received[rank] + 1, self._round_of_send[send])
        self._waited_until[rank] = max(self._waited_until[rank], self._last_received[rank])


def _steps(ops: Iterable[CommOp]) -> list[_Step]:
    """Return what a rank did with its messages, in order."""
    messages = [op for op in ops if op.op in POINT_TO_POINT]
    issued = [_Step(op.issued_at, op, is_issue=True) for op in messages]
    ended = [_Step(op.done_at, op, is_issue=False) for op in messages if op.done_at is not None]
    return sorted((*issued, *ended), key=lambda step: step.position)
