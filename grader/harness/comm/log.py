"""What the ranks of one launch communicated, for tests that judge how a result came about.

    assert run.comm.count("all_reduce", rank=0) == 1
    assert run.comm.bytes_sent_per_rank() == (Fraction(2 * (n - 1), n) * payload,) * n
    assert run.comm.within([0, 2]).rounds() == 3
    run.comm.assert_only("send", "recv")

An operation is asked for by its name or by its kind: "all_gather" also means all_gather_single and the coalesced forms.
Making a process group does not count as an operation; `groups_made` returns the groups.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from copy import copy
from fractions import Fraction

from grader.harness.comm.message_rounds import count_rounds
from grader.harness.comm.mismatch import find_mismatches
from grader.harness.comm.op import NEW_GROUP, CommOp, read_ops
from grader.harness.mistake import Mistake
from grader.harness.outcome import StudentFailure
from grader.harness.protocol.journal import Event, Issue, NewGroup, RankJournal
from grader.harness.wording import at_line, rank_list

__all__ = ["CommLog", "CommOp"]


class CommLog:
    """Every operation of every rank of a launch."""

    journals: tuple[RankJournal, ...]
    """By rank, what the rank's recorder wrote."""

    recorded: tuple[tuple[CommOp, ...], ...]
    """By rank, its operations in the order of issue. Includes the making of groups, and all groups even after `within`."""

    def __init__(self, journals: Sequence[RankJournal]) -> None:
        self.journals = tuple(journals)
        self.recorded = tuple(read_ops(rank, journal) for rank, journal in enumerate(self.journals))
        self._ops = tuple(tuple(op for op in ops if op.op != NEW_GROUP) for ops in self.recorded)

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
        """Whether nothing is missing: no journal was full, and no operation in it contradicted itself."""
        return all(
            not journal.truncated and len(ops) == sum(map(_is_operation, journal.events))
            for journal, ops in zip(self.journals, self.recorded, strict=True)
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
        """Return the operations by rank and, for each rank, in the order of issue; without arguments, all of them."""
        ops_per_rank = self._ops if rank is None else [self._ops[rank]]
        return tuple(found for ops in ops_per_rank for found in ops if op in (None, found.op, found.kind))

    def count(self, op: str | None = None, *, rank: int | None = None) -> int:
        """Return the number of operations, of all ranks together unless a rank is given."""
        return len(self.ops(op, rank=rank))

    def payload_bytes(self, op: str | None = None, *, rank: int) -> int:
        """Return the payload of a rank's operations, the S in `course_env.ring_cost`."""
        return sum(found.payload_bytes for found in self.ops(op, rank=rank))

    def bytes_sent_per_rank(self, op: str | None = None) -> tuple[Fraction, ...]:
        """Return the bytes that each rank sends by ring algorithms: see `course_env.ring_cost`."""
        return tuple(
            sum((found.bytes_sent for found in self.ops(op, rank=rank)), Fraction(0)) for rank in range(self.world_size)
        )

    def messages_sent_per_rank(self) -> tuple[int, ...]:
        """Return the number of sends of each rank. Collectives have no messages here."""
        return tuple(self.count("send", rank=rank) for rank in range(self.world_size))

    def messages_received_per_rank(self) -> tuple[int, ...]:
        """Return the number of receives of each rank."""
        return tuple(self.count("recv", rank=rank) for rank in range(self.world_size))

    def rounds(self) -> int:
        """Return the number of rounds that the point-to-point messages need: see `message_rounds`. Collectives do not count."""
        return count_rounds(self._ops)

    def groups_made(self, rank: int) -> tuple[tuple[int, ...], ...]:
        """Return the process groups that a rank helped to make, in the order of making, without the default group.

        Each is the tuple of its global ranks in group order; the rank itself need not be one of them.
        """
        made = (op for op in self.recorded[rank] if op.op == NEW_GROUP and op.api != "init_process_group")
        return tuple(op.ranks for op in made)

    def assert_only(self, *allowed: str) -> None:
        """Fail, with a sentence for the student, if a rank called any operation but the `allowed` ones.

        Raises: StudentFailure that names the first such call, its line, and the ranks that made it.
        """
        __tracebackhide__ = True
        foreign = [op for op in self.ops() if not {op.op, op.kind} & {*allowed}]
        if foreign:
            raise StudentFailure(
                f"{_who_called(foreign)}. The exercise is to build the result from {' and '.join(allowed)}: "
                "nothing else may communicate.",
                mistake=Mistake.FOREIGN_CALL,
            )

    def assert_waited_for(self) -> None:
        """Fail, with a sentence for the student, if a rank never learned that an operation it issued has ended.

        Raises: StudentFailure that names the first such call, its line, and the ranks that made it.
        """
        __tracebackhide__ = True
        forgotten = [op for op in self.ops() if op.is_forgotten]
        if forgotten:
            raise StudentFailure(
                f"{_who_called(forgotten)} and never waited for it. "
                "That it was complete in time was luck: call wait() on the handle that it returned.",
                mistake=Mistake.NEVER_WAITED,
            )

    def assert_rounds(self, at_most: int) -> None:
        """Fail, with a sentence for the student, if the point-to-point messages need more than `at_most` rounds.

        Raises: StudentFailure.
        """
        __tracebackhide__ = True
        needed = self.rounds()
        if needed > at_most:
            raise StudentFailure(
                f"{self.count('send')} messages take {needed} rounds, of which each waits for the one before; "
                f"{at_most} are enough. A rank that first waits for its receive, or for its send, holds up the next: "
                "let messages that do not need each other travel at the same time.",
                mistake=Mistake.IN_TURN,
            )

    def mismatches(self) -> tuple[str, ...]:
        """Return a sentence for everything that ranks passed to torch and that does not fit together."""
        return find_mismatches(self.recorded)


def _who_called(ops: Sequence[CommOp]) -> str:
    """Return the first of these calls with all ranks that made it: "Ranks 0, 1 called all_gather at x.py:12"."""
    first = ops[0]
    ranks = sorted({op.rank for op in ops if (op.api, op.op, op.site) == (first.api, first.op, first.site)})
    return f"{rank_list(ranks).capitalize()} called {first.api or first.op}{at_line(first.site)}"


def _is_operation(event: Event) -> bool:
    return isinstance(event, Issue | NewGroup)
