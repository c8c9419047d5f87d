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

# The making of a process group is treated as the group's first collective.
NEW_GROUP = "new_group"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommOp:
    """One operation that one rank issued.

    rank: the global rank that issued it
    k: its number among all that this rank issued
    op: name as in torch.distributed, such as all_reduce, all_gather_single or send; isend and irecv are send and recv
    group, ranks: the group's name, and its global ranks in group order
    inputs, outputs: number of elements of each tensor, or of each rank's part in an all-to-all
    peer: the global rank at the other end of a send or receive; of a receive from any source once it is known
    root: the global rank of the root, for operations that have one
    api: the torch function that was called, empty if C++ called (DDP's reducer)
    is_async: whether the call returns before the operation is complete
    future_taken: whether someone took the operation's future, and so may wait for it unseen
    error: what the operation raised
    site: the line of the student's file, or of the course's program, that issued it
    issued_at, waited_at, done_at: positions in the order of this rank's events; None for what did not happen. A blocking
        operation is waited for when it is issued; one whose future is waited for (DDP's reducer) lacks the last two
    issued_s, waited_s, done_s: the same as seconds of the machine's monotonic clock
    """

    rank: int
    k: int
    op: str
    group: str
    ranks: tuple[int, ...]
    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()
    dtype: str = ""
    itemsize: int = 1
    peer: int | None = None
    any_source: bool = False
    tag: int = 0
    root: int | None = None
    reduce_op: str = ""
    api: str = ""
    is_async: bool = False
    site: CallSite | None = None
    waited_site: CallSite | None = None
    future_taken: bool = False
    error: str = ""
    issued_at: int = 0
    waited_at: int | None = None
    done_at: int | None = None
    issued_s: float = 0.0
    waited_s: float | None = None
    done_s: float | None = None

    @property
    def kind(self) -> str:
        """The operation without the form of its tensors: all_gather for all_gather_single and its coalesced form."""
        return self.op.removesuffix("_coalesced").removesuffix("_single")

    @property
    def call(self) -> str:
        """The call as it stands in a program: "isend(dst=1, tag=2)"; of a collective its name."""
        if self.op not in POINT_TO_POINT:
            return self.op
        tag = f", tag={self.tag}" if self.tag else ""
        return f"{'i' if self.is_async else ''}{self.op}({'dst' if self.op == 'send' else 'src'}={self.peer}{tag})"

    @property
    def is_forgotten(self) -> bool:
        """Whether its rank has neither waited for it nor found it complete, nor taken a future that would do so unseen."""
        seen = (self.waited_at, self.done_at) != (None, None) or self.future_taken
        return self.is_async and not seen and not self.error

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
    """Return the operations in one rank's journal in the order of issue; those that contradict themselves are dropped."""
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
    return op.rank in op.ranks and {op.peer, op.root} <= {None, *op.ranks}


def matched_messages(ops_per_rank: Iterable[Sequence[CommOp]]) -> Iterator[tuple[CommOp, CommOp]]:
    """Yield each send with its receive: the k-th of a pair of ranks, a tag and a group with the k-th."""
    sends: dict[tuple[object, ...], list[CommOp]] = defaultdict(list)
    receives: dict[tuple[object, ...], list[CommOp]] = defaultdict(list)
    for ops in ops_per_rank:
        undecided = set()  # after a receive of unknown source nobody can say which send a later one meets
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
