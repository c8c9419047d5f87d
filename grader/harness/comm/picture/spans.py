"""What every rank of a launch did, and when: the frozen list of events that all pictures are drawn from.

It comes from ranks' journals, so it is what ranks say of themselves. No verdict rests on it.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import msgspec

from course_env.pipeline import action_text
from grader.harness.comm.log import CommLog
from grader.harness.comm.op import POINT_TO_POINT, CommOp, matched_messages
from grader.harness.protocol.journal import MarkBegun, MarkEnded, RankJournal

COMPUTE = ("F", "B", "W")
TENTH = 0.1  # of a second
MAX_SPANS = 20_000
"""Of a launch; those after them are left out of its pictures."""

SpanKind = Literal["F", "B", "W", "send", "recv", "collective", "wait"]


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a rank did, from one time to another."""

    rank: int
    kind: SpanKind
    text: str
    """An action like F0 or B2/1, or the name of the operation."""

    begin_s: float
    """In seconds from the first event of the launch."""

    end_s: float | None = None
    """None if the rank never came to its end."""

    partners: tuple[int, ...] = ()
    """The other global ranks of an operation: the peer, or the rest of the group."""

    num_bytes: int = 0
    """What an operation reads on this rank; of a receive what it writes."""

    @property
    def title(self) -> str:
        """What it is called beside others: a wait is one for something."""
        return f"wait for {self.text}" if self.kind == "wait" else self.text


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message that arrived, or one under way at the end."""

    sender: int
    receiver: int
    sent_s: float
    received_s: float | None
    num_bytes: int


class IdealStep(msgspec.Struct, frozen=True, kw_only=True):
    """An action of the ideal schedule."""

    rank: int
    text: str
    begin: int
    """In units of time."""

    end: int

    @property
    def kind(self) -> str:
        """F, B or W."""
        return self.text[0]


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """One launch."""

    world_size: int
    spans: tuple[Span, ...] = ()
    """By their begin."""

    messages: tuple[Message, ...] = ()
    ideal: tuple[IdealStep, ...] = ()
    """What ranks should have done; empty if there is no such thing."""

    is_cut: bool = False
    """Whether there was more than is here."""

    @property
    def end_s(self) -> float:
        """When the last thing began or ended."""
        return max((one for span in self.spans for one in (span.begin_s, span.end_s or 0.0)), default=0.0)

    @property
    def kinds(self) -> set[str]:
        """The kinds of what ran and of what was due; a send or a receive waits, too."""
        kinds = {span.kind for span in self.spans} | {step.kind for step in self.ideal}
        return kinds | {"wait"} if kinds & {"send", "recv"} else kinds

    def of(self, rank: int) -> tuple[Span, ...]:
        """Return what one rank did, in its order."""
        return tuple(span for span in self.spans if span.rank == rank)

    def actions(self, rank: int) -> tuple[str, ...]:
        """Return the actions that one rank ran, in their order."""
        return tuple(span.text for span in self.of(rank) if span.kind in COMPUTE)

    @property
    def bubble(self) -> float | None:
        """Idle time divided by busy time, of all ranks that computed, between the first and the last of their actions."""
        lanes = [lane for rank in range(self.world_size) if (lane := self._computed(rank))]
        return _bubble(lanes)

    @property
    def ideal_bubble(self) -> float | None:
        """The same of the ideal schedule."""
        steps = [[(float(s.begin), float(s.end)) for s in self.ideal if s.rank == r] for r in range(self.world_size)]
        return _bubble([lane for lane in steps if lane])

    def _computed(self, rank: int) -> list[tuple[float, float]]:
        return [(s.begin_s, self.end_s if s.end_s is None else s.end_s) for s in self.of(rank) if s.kind in COMPUTE]


def _bubble(lanes: Sequence[Sequence[tuple[float, float]]]) -> float | None:
    busy = sum(_covered(lane) for lane in lanes)
    if not busy:
        return None
    makespan = max(end for lane in lanes for _, end in lane) - min(begin for lane in lanes for begin, _ in lane)
    return (makespan * len(lanes) - busy) / busy


def _covered(intervals: Iterable[tuple[float, float]]) -> float:
    """Return the length of the union: a pass may run within another, as a recomputed forward pass does."""
    total, reached = 0.0, float("-inf")
    for begin, end in sorted(intervals):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total


def milliseconds(seconds: float) -> str:
    """Return a time with three digits or more: "0.52 ms", "1310 ms"."""
    return f"{1000 * seconds:.0f} ms" if seconds >= TENTH else f"{1000 * seconds:.3g} ms"


def read_ideal(lines: Sequence[str]) -> tuple[IdealStep, ...]:
    """Return the steps of a drawn schedule: a line for each rank, and in it a word for each unit of time.

    A word is the action that begins, "-" while it goes on, or "." while the rank is idle: "F0 F1 . B0 -".
    """
    return tuple(step for rank, line in enumerate(lines) for step in _steps(rank, line.split()))


def _steps(rank: int, words: Sequence[str]) -> Iterator[IdealStep]:
    for begin, word in enumerate(words):
        if word not in ("-", "."):
            end = begin + 1
            while end < len(words) and words[end] == "-":
                end += 1
            yield IdealStep(rank=rank, text=word, begin=begin, end=end)


def timeline_of(comm: CommLog, ideal: Sequence[str] = ()) -> Timeline:
    """Return what the ranks of a launch did by their journals, however they ended."""
    spans = [span for rank, journal in enumerate(comm.journals) for span in _marked(rank, journal)]
    spans += [span for op in comm.ops() for span in _spans_of(op)]
    spans.sort(key=lambda span: (span.begin_s, span.rank))
    zero = spans[0].begin_s if spans else 0.0
    pairs = matched_messages([comm.ops(rank=rank) for rank in range(comm.world_size)])
    messages = sorted((_message(sent, received, zero) for sent, received in pairs), key=lambda one: one.sent_s)
    return Timeline(
        world_size=comm.world_size,
        spans=tuple(_from(span, zero) for span in spans[:MAX_SPANS]),
        messages=tuple(messages[:MAX_SPANS]),
        ideal=read_ideal(ideal),
        is_cut=len(spans) > MAX_SPANS or not comm.is_complete,
    )


def _from(span: Span, zero: float) -> Span:
    end_s = None if span.end_s is None else max(span.end_s, span.begin_s) - zero
    return msgspec.structs.replace(span, begin_s=span.begin_s - zero, end_s=end_s)


def _marked(rank: int, journal: RankJournal) -> Iterator[Span]:
    ends = {event.mark: event.t for event in reversed(journal.events) if isinstance(event, MarkEnded)}
    for event in journal.events:
        if isinstance(event, MarkBegun):
            text = action_text(event.action)
            yield Span(rank=rank, kind=event.action[0], text=text, begin_s=event.t, end_s=ends.get(event.mark))


def _spans_of(op: CommOp) -> Iterator[Span]:
    """Yield the call, and what the rank waited for it later. A call that blocks lasts until its operation is complete."""
    kind: SpanKind = "send" if op.op == "send" else "recv" if op.op == "recv" else "collective"
    partners = tuple(rank for rank in op.ranks if rank != op.rank)
    if op.op in POINT_TO_POINT:
        partners = () if op.peer is None else (op.peer,)
    num_bytes = op.output_bytes if op.op == "recv" else op.input_bytes
    call = Span(
        rank=op.rank,
        kind=kind,
        text=op.op,
        begin_s=op.issued_s,
        end_s=op.issued_s if op.is_async else op.done_s,
        partners=partners,
        num_bytes=num_bytes,
    )
    yield call
    if op.is_async and op.waited_s is not None:
        yield msgspec.structs.replace(call, kind="wait", begin_s=op.waited_s, end_s=op.done_s)


def _message(sent: CommOp, received: CommOp, zero: float) -> Message:
    at = None if received.done_s is None else max(received.done_s, sent.issued_s) - zero
    return Message(
        sender=sent.rank,
        receiver=received.rank,
        sent_s=sent.issued_s - zero,
        received_s=at,
        num_bytes=sent.input_bytes,
    )
