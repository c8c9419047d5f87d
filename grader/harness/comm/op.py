"""One communication operation of one rank, as the judge reads it from the journal, and what it costs.

The cost is that of ring algorithms, in bytes that one rank sends: see `course_env.ring_cost`. Where an all-to-all has uneven
splits, a rank sends all parts but its own.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import msgspec

from course_env.ring_cost import share_sent
from grader.harness.protocol.journal import CallSite, Done, Failed, FutureTaken, Issue, NewGroup, RankJournal, WaitBegun

POINT_TO_POINT = ("send", "recv")

# Making a process group is treated as the group's first collective.
NEW_GROUP = "new_group"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommOp:
    """One operation that one rank issued.

    Positions count the events of its rank; None stands for what did not happen. A blocking operation is waited for when it is
    issued. One whose future is waited for, as DDP's reducer does, has no known wait and no known end.
    """

    rank: int
    """The global rank that issued it."""

    k: int
    """How many operations this rank had issued before."""

    op: str
    """Its name in torch.distributed, such as all_reduce, all_gather_single or send; isend and irecv are send and recv."""

    group: str
    """The name of its process group."""

    ranks: tuple[int, ...]
    """The global ranks of the group, in group order."""

    inputs: tuple[int, ...] = ()
    """The number of elements of each tensor that it reads; in an all-to-all, of each rank's part."""

    outputs: tuple[int, ...] = ()
    """The number of elements of each tensor that it writes; in an all-to-all, of each rank's part."""

    dtype: str = ""
    itemsize: int = 1
    """Bytes of one element."""

    peer: int | None = None
    """The global rank at the other end of a send or receive; if any source is allowed, only once it is known."""

    any_source: bool = False
    """Whether it is a receive that names no source."""

    tag: int = 0
    root: int | None = None
    """The global rank of the root, for operations that have one."""

    reduce_op: str = ""
    api: str = ""
    """The torch function that was called; empty if C++ code called, as DDP's reducer does."""

    is_async: bool = False
    """Whether the call returns before the operation is complete."""

    site: CallSite | None = None
    """The line that issued it, of the student's file or of the course's program."""

    waited_site: CallSite | None = None
    """The line that waited for it."""

    future_taken: bool = False
    """Whether someone took its future, and so may wait for it unseen."""

    error: str = ""
    """What it raised."""

    issued_at: int = 0
    """The position at which it was issued."""

    waited_at: int | None = None
    """The position at which the rank began to wait for it."""

    done_at: int | None = None
    """The position at which the rank found it complete."""

    issued_s: float = 0.0
    """When it was issued, in seconds of the machine's monotonic clock."""

    waited_s: float | None = None
    """When the rank began to wait for it, in seconds of the same clock."""

    done_s: float | None = None
    """When the rank found it complete, in seconds of the same clock."""

    @property
    def kind(self) -> str:
        """The name without the form of the tensors: all_gather for all_gather_single and for the coalesced forms."""
        return self.op.removesuffix("_coalesced").removesuffix("_single")

    @property
    def call(self) -> str:
        """The call as it would stand in a program, "isend(dst=1, tag=2)"; of a collective only its name."""
        if self.op not in POINT_TO_POINT:
            return self.op
        function = f"i{self.op}" if self.is_async else self.op
        end = "dst" if self.op == "send" else "src"
        peer = [] if self.peer is None else [f"{end}={self.peer}"]
        tag = [f"tag={self.tag}"] if self.tag else []
        return f"{function}({', '.join((*peer, *tag))})"

    @property
    def is_forgotten(self) -> bool:
        """Whether its rank has not waited for it, not found it complete, and not taken a future that may wait for it unseen."""
        never_waited = self.waited_at is None and self.done_at is None and not self.future_taken
        return self.is_async and never_waited and not self.error

    @property
    def input_bytes(self) -> int:
        """Bytes that the operation reads on this rank."""
        return sum(self.inputs) * self.itemsize

    @property
    def output_bytes(self) -> int:
        """Bytes that the operation writes on this rank."""
        return sum(self.outputs) * self.itemsize

    @property
    def payload_bytes(self) -> int:
        """The payload S in `course_env.ring_cost`; for a receive, what it receives."""
        match self.kind:
            case "all_gather" | "recv":
                return self.output_bytes
            case "gather":
                return self.input_bytes * len(self.ranks)
            case "scatter":
                return self.output_bytes * len(self.ranks)
        return self.input_bytes

    @property
    def bytes_sent(self) -> Fraction:
        """Bytes that this rank sends by a ring algorithm."""
        if self.kind == "all_to_all" and len(self.ranks) > 1:
            return Fraction(self.input_bytes - self.part_for(self.rank) * self.itemsize)
        return share_sent(self.kind, len(self.ranks), is_root=self.rank == self.root) * self.payload_bytes

    def part_for(self, rank: int) -> int:
        """Return the number of elements that an all-to-all sends to global rank `rank`."""
        return self.inputs[self.ranks.index(rank)]

    def part_from(self, rank: int) -> int:
        """Return the number of elements that an all-to-all receives from global rank `rank`."""
        return self.outputs[self.ranks.index(rank)]


_Later = WaitBegun | FutureTaken | Done | Failed
_Ends = dict[type, tuple[int, _Later]]


def read_ops(rank: int, journal: RankJournal) -> tuple[CommOp, ...]:
    """Return the operations in one rank's journal in the order of issue, without those that contradict themselves."""
    ends: dict[int, _Ends] = defaultdict(dict)
    for position, event in enumerate(journal.events):
        if isinstance(event, _Later):
            ends[event.k].setdefault(type(event), (position, event))
    ops = (
        _followed(_begun(rank, position, event), ends[event.k])
        for position, event in enumerate(journal.events)
        if isinstance(event, Issue | NewGroup)
    )
    return tuple(op for op in ops if _is_consistent(op))


def _begun(rank: int, position: int, event: Issue | NewGroup) -> CommOp:
    fields = msgspec.structs.asdict(event)
    issued_s = fields.pop("t")
    if isinstance(event, NewGroup):
        fields["op"] = NEW_GROUP
    else:
        fields["any_source"] = event.op == "recv" and event.peer is None
    return CommOp(rank=rank, issued_at=position, issued_s=issued_s, **fields)


def _followed(op: CommOp, ends: _Ends) -> CommOp:
    """Return `op` with what happened to it later."""
    later: dict[str, Any] = {"future_taken": FutureTaken in ends}
    if not op.is_async:
        later |= {"waited_at": op.issued_at, "waited_s": op.issued_s, "waited_site": op.site}
    for position, event in ends.values():
        match event:
            case WaitBegun():
                later |= {"waited_at": position, "waited_s": event.t, "waited_site": event.site}
            case Done():
                later |= {"done_at": position, "done_s": event.t}
                later |= {"peer": event.peer} if op.any_source else {}
            case Failed():
                later |= {"error": event.error}
    return replace(op, **later)


def _is_consistent(op: CommOp) -> bool:
    if op.op == NEW_GROUP:
        return True
    if op.kind == "all_to_all" and not len(op.inputs) == len(op.outputs) == len(op.ranks):
        return False
    members = {None, *op.ranks}
    return op.rank in members and op.peer in members and op.root in members


def matched_messages(ops_per_rank: Iterable[Sequence[CommOp]]) -> Iterator[tuple[CommOp, CommOp]]:
    """Yield each send with its receive: the k-th send from one rank to another, by tag and group, meets the k-th receive."""
    sends: dict[tuple[object, ...], list[CommOp]] = defaultdict(list)
    receives: dict[tuple[object, ...], list[CommOp]] = defaultdict(list)
    for ops in ops_per_rank:
        undecided = set()  # tags and groups with a receive of unknown source: which sends later ones meet, nobody knows
        for op in ops:
            if op.op == "send":
                sends[op.rank, op.peer, op.tag, op.group].append(op)
            elif op.op == "recv" and (op.tag, op.group) not in undecided:
                if op.peer is None:
                    undecided.add((op.tag, op.group))
                else:
                    receives[op.peer, op.rank, op.tag, op.group].append(op)
    for key, sent in sends.items():
        yield from zip(sent, receives[key], strict=False)
