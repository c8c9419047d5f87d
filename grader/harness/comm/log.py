"""What the ranks of one launch communicated, for tests that judge how a result came about.

    assert run.comm.count("all_reduce", rank=0) == 1
    assert run.comm.bytes_sent_per_rank() == (Fraction(2 * (n - 1), n) * payload,) * n
    assert run.comm.within([0, 2]).rounds() == 3
    run.comm.assert_only("send", "recv")

An operation is asked for by its name or by its kind: "all_gather" means all_gather_single and the coalesced forms too.
Making process groups is not counted; `groups_made` tells of it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from copy import copy
from fractions import Fraction
from typing import NamedTuple

from grader.harness.comm.mismatch import find_mismatches
from grader.harness.comm.op import NEW_GROUP, POINT_TO_POINT, CommOp, matched_messages, read_ops
from grader.harness.protocol.journal import Event, Issue, NewGroup, RankJournal
from grader.harness.wording import at_line, rank_list

__all__ = ["CommLog", "CommOp"]


class CommLog:
    """Every operation of every rank of a launch."""

    def __init__(self, journals: Sequence[RankJournal]) -> None:
        self.journals = tuple(journals)
        self._all = tuple(read_ops(rank, journal) for rank, journal in enumerate(self.journals))
        self._ops = tuple(tuple(op for op in ops if op.op != NEW_GROUP) for ops in self._all)

    def __repr__(self) -> str:
        counts = Counter(op.op for op in self.ops())
        counted = ", ".join(f"{count} {op}" for op, count in counts.items()) or "nothing"
        return f"<CommLog of {self.world_size} ranks: {counted}>"

    @property
    def world_size(self) -> int:
        """The number of ranks."""
        return len(self.journals)

    @property
    def is_complete(self) -> bool:
        """Whether nothing was lost: neither the end of a full journal, nor an operation that contradicts itself."""
        return all(
            not journal.truncated and len(ops) == sum(map(_is_operation, journal.events))
            for journal, ops in zip(self.journals, self._all, strict=True)
        )

    def within(self, ranks: Iterable[int]) -> "CommLog":
        """Return the log of the groups that consist of exactly these global ranks."""
        members = frozenset(ranks)
        narrowed = copy(self)
        narrowed._ops = tuple(  # noqa: SLF001 - a copy of this very object
            tuple(op for op in ops if frozenset(op.ranks) == members) for ops in self._ops
        )
        return narrowed

    def ops(self, op: str | None = None, *, rank: int | None = None) -> tuple[CommOp, ...]:
        """Return the operations by rank and, within a rank, in the order of issue; all of them without arguments."""
        ranks = range(self.world_size) if rank is None else (rank,)
        return tuple(one for r in ranks for one in self._ops[r] if op in (None, one.op, one.kind))

    def count(self, op: str | None = None, *, rank: int | None = None) -> int:
        """Return the number of operations, of all ranks together unless one is given."""
        return len(self.ops(op, rank=rank))

    def payload_bytes(self, op: str | None = None, *, rank: int) -> int:
        """Return the payload of a rank's operations, the S in `course_env.ring_cost`."""
        return sum(one.payload_bytes for one in self.ops(op, rank=rank))

    def bytes_sent_per_rank(self, op: str | None = None) -> tuple[Fraction, ...]:
        """Return the bytes that each rank sends by ring algorithms: see `course_env.ring_cost`."""
        return tuple(
            sum((one.bytes_sent for one in self.ops(op, rank=rank)), Fraction(0)) for rank in range(self.world_size)
        )

    def messages_sent_per_rank(self) -> tuple[int, ...]:
        """Return the number of sends of each rank. Collectives have no messages here."""
        return tuple(self.count("send", rank=rank) for rank in range(self.world_size))

    def messages_received_per_rank(self) -> tuple[int, ...]:
        """Return the number of receives of each rank."""
        return tuple(self.count("recv", rank=rank) for rank in range(self.world_size))

    def most_in_flight(self, op: str | None = None, *, rank: int) -> int:
        """Return the largest number of a rank's operations that were issued and not yet waited for at one time.

        1 means that each was waited for before the next was issued: nothing overlaps.
        """
        ops = self.ops(op, rank=rank)
        return max((1 + sum(earlier.in_flight_when(one) for earlier in ops) for one in ops), default=0)

    def rounds(self) -> int:
        """Return the number of rounds that the point-to-point messages need on an ideal network.

        In one round a rank can send one message and receive one. A rank that has waited for a message sends what it
        issues afterwards in a later round; messages that do not depend on each other share rounds. This is a Lamport
        clock that ticks with every message of a rank, so that a root that sends to everybody needs N - 1 rounds and
        a tree ceil(log2 N). Collectives do not count.
        """
        return _Rounds(self._ops).count()

    def groups_made(self, rank: int) -> tuple[tuple[int, ...], ...]:
        """Return the process groups that a rank had a hand in making, beside the default one, in the order of making.

        Each is the tuple of its global ranks in group order; the rank itself need not be one of them.
        """
        made = (op for op in self._all[rank] if op.op == NEW_GROUP and op.api != "init_process_group")
        return tuple(op.ranks for op in made)

    def assert_only(self, *allowed: str) -> None:
        """Fail, with a sentence for the student, if a rank called any operation but the `allowed` ones.

        Raises: AssertionError that names the first such call, its line, and the ranks that made it.
        """
        __tracebackhide__ = True
        foreign = [op for op in self.ops() if not {op.op, op.kind} & {*allowed}]
        if foreign:
            raise AssertionError(
                f"{_who_called(foreign)}. The exercise is to build the result from {' and '.join(allowed)}: "
                "nothing else may communicate."
            )

    def assert_waited_for(self) -> None:
        """Fail, with a sentence for the student, if a rank never learned that an operation it issued has ended.

        Raises: AssertionError that names the first such call, its line, and the ranks that made it.
        """
        __tracebackhide__ = True
        forgotten = [op for op in self.ops() if op.is_forgotten]
        if forgotten:
            raise AssertionError(
                f"{_who_called(forgotten)} and never waited for it. "
                "That it was complete in time was luck: call wait() on the handle that it returned."
            )

    def mismatches(self) -> tuple[str, ...]:
        """Return a sentence for everything that ranks passed to torch and that does not fit together."""
        return find_mismatches(self._all)


def _who_called(ops: Sequence[CommOp]) -> str:
    """Return the first of these calls with all ranks that made it: "Ranks 0, 1 called all_gather at x.py:12"."""
    first = ops[0]
    ranks = sorted({op.rank for op in ops if (op.api, op.op, op.site) == (first.api, first.op, first.site)})
    return f"{rank_list(ranks).capitalize()} called {first.api or first.op}{at_line(first.site)}"


class _Rounds:
    """Plays the messages of a launch round by round."""

    def __init__(self, ops_per_rank: Sequence[Sequence[CommOp]]) -> None:
        self._send_of = {_id(receive): _id(send) for send, receive in matched_messages(ops_per_rank)}
        self._steps = [_steps(ops) for ops in ops_per_rank]
        num_ranks = len(ops_per_rank)
        self._clock = [0] * num_ranks
        self._last_sent = [0] * num_ranks
        self._last_received = [0] * num_ranks
        self._sent_in: dict[tuple[int, int], int] = {}

    def count(self) -> int:
        # A receive is complete only after its send was issued, so some rank can always go on.
        while any([self._go_on(rank) for rank in range(len(self._steps))]):  # noqa: C419 - every rank, not the first
            pass
        return max((*self._last_sent, *self._last_received), default=0)

    def _go_on(self, rank: int) -> bool:
        steps = self._steps[rank]
        done = 0
        while done < len(steps) and self._play(rank, steps[done]):
            done += 1
        self._steps[rank] = steps[done:]
        return done > 0

    def _play(self, rank: int, step: "_Step") -> bool:
        """Play one step; return False if it has to wait for another rank's."""
        op = step.op
        if op.op == "send":
            if step.is_issue:
                self._last_sent[rank] = max(self._last_sent[rank], self._clock[rank]) + 1
                self._sent_in[_id(op)] = self._last_sent[rank]
            else:
                self._clock[rank] = max(self._clock[rank], self._sent_in[_id(op)])
        elif not step.is_issue and _id(op) in self._send_of:
            sent_in = self._sent_in.get(self._send_of[_id(op)])
            if sent_in is None:
                return False
            self._last_received[rank] = max(self._last_received[rank] + 1, sent_in)
            self._clock[rank] = max(self._clock[rank], self._last_received[rank])
        return True


def _id(op: CommOp) -> tuple[int, int]:
    return op.rank, op.k


class _Step(NamedTuple):
    """The issue or the end of one message on one rank."""

    position: int
    op: CommOp
    is_issue: bool


def _steps(ops: Iterable[CommOp]) -> list[_Step]:
    """Return what a rank did with its messages, in order."""
    messages = [op for op in ops if op.op in POINT_TO_POINT]
    begun = [_Step(op.issued_at, op, is_issue=True) for op in messages]
    ended = [_Step(op.done_at, op, is_issue=False) for op in messages if op.done_at is not None]
    return sorted((*begun, *ended), key=lambda step: step.position)


def _is_operation(event: Event) -> bool:
    return isinstance(event, Issue | NewGroup)
