"""The journal of one rank: what it communicates, written at once, readable however the rank ends.

A journal lies in a memory file of fixed size that the judge made. The rank maps it and appends one JSON line per event;
the judge can read it at any time. The bytes come from a process that runs student code, so the reader checks every
field, stops at the first line that is not an event, and never raises.
"""

import math
import mmap
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

JOURNAL_BYTES = 4 << 20  # of one rank
JOURNALS_BYTES = 8 << 20  # of all ranks of a launch together: the judge compares each event with those of other ranks
MAX_JOURNAL_TEXT = 200
TRUNCATED_LINE = b'{"type":"truncated"}\n'

# Text ends up on terminals and in reports, so nothing in it may be a control character.
_Text = Annotated[str, Meta(max_length=MAX_JOURNAL_TEXT, pattern=r"^[^\x00-\x1f\x7f-\x9f]*\Z")]
_Name = Annotated[str, Meta(max_length=MAX_JOURNAL_TEXT, pattern=r"^[A-Za-z0-9_]*\Z")]
_Index = Annotated[int, Meta(ge=0, lt=1 << 31)]
_Rank = Annotated[int, Meta(ge=0, lt=1 << 16)]
_Count = Annotated[int, Meta(ge=0, lt=1 << 48)]
_Seconds = Annotated[float, Meta(ge=0, lt=1e12)]


class CallSite(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A line of the student's file or of a program of the course."""

    file: _Text
    """Relative to its source root."""

    line: _Index
    function: _Text

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class _Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    k: _Index
    """Index of an Issue or a NewGroup among those of the rank; other events name by it the one that they belong to."""

    t: _Seconds
    """When it happened, by the monotonic clock."""


class NewGroup(_Event, frozen=True, kw_only=True, tag="new_group"):
    """The rank begins to make a process group; the Done with the same `k` says that it exists."""

    group: _Text
    """Torch's name of the group."""

    ranks: tuple[_Rank, ...]
    """The group's global ranks; the rank itself need not be one of them."""

    api: _Name = ""
    """The torch function that was called, such as new_group."""

    site: CallSite | None = None


class Issue(_Event, frozen=True, kw_only=True, tag="issue"):
    """The rank issues one operation."""

    op: _Name
    """One of the operations in `record_call.METHODS`."""

    group: _Text
    """Torch's name of the group."""

    ranks: tuple[_Rank, ...]
    """The group's global ranks, in group order."""

    inputs: tuple[_Count, ...] = ()
    """Number of elements of each tensor that is read, or of each part of an all-to-all."""

    outputs: tuple[_Count, ...] = ()
    """The same of what is written."""

    dtype: _Name = ""
    itemsize: Annotated[int, Meta(ge=1, le=16)] = 1
    """Bytes per element."""

    peer: _Rank | None = None
    """Global rank at the other end of a send or a receive; None for a receive from any source."""

    tag: Annotated[int, Meta(ge=-(1 << 31), lt=1 << 31)] = 0
    root: _Rank | None = None
    """Global rank of the root, of operations that have one."""

    reduce_op: _Name = ""
    api: _Name = ""
    """The torch function that was called; empty for calls from C++ (DDP's reducer)."""

    is_async: bool = False
    """Whether the call returns before the operation is complete."""

    site: CallSite | None = None


class WaitBegun(_Event, frozen=True, kw_only=True, tag="wait"):
    """The rank begins to wait for the asynchronous operation `k`. For a blocking one it waits from the issue on."""

    site: CallSite | None = None


class FutureTaken(_Event, frozen=True, kw_only=True, tag="future"):
    """Code took the future of operation `k`. From now on it can wait unseen, as DDP's reducer does."""


class Done(_Event, frozen=True, kw_only=True, tag="done"):
    """The rank has learned that operation `k` has ended."""

    peer: _Rank | None = None
    """The sender's global rank, for a receive from any source."""


class Failed(_Event, frozen=True, kw_only=True, tag="failed"):
    """Operation `k` raised."""

    error: _Text


class _MarkEvent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    mark: _Index
    """Index of the mark among those of the rank."""

    t: _Seconds
    """When it happened, by the monotonic clock."""


class MarkBegun(_MarkEvent, frozen=True, kw_only=True, tag="mark"):
    """A program of the course has marked the begin of an action of a pipeline; see `course_env.marks`."""

    action: tuple[Literal["F", "B", "W"], _Index, _Index]
    """What it is, and of which micro-batch and chunk."""


class MarkEnded(_MarkEvent, frozen=True, kw_only=True, tag="mark_end"):
    """The action that was marked has ended."""


class _Truncated(msgspec.Struct, frozen=True, tag="truncated", forbid_unknown_fields=True):
    pass


Event = NewGroup | Issue | WaitBegun | FutureTaken | Done | Failed | MarkBegun | MarkEnded

_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Event | _Truncated)


@dataclass(frozen=True, slots=True, kw_only=True)
class RankJournal:
    """What one rank communicated, in order."""

    events: tuple[Event, ...]
    truncated: bool = False
    """There was more, but it is lost or cannot be believed."""


def journal_bytes(world_size: int) -> int:
    """Return the size of the journal of each rank of a launch."""
    return min(JOURNAL_BYTES, JOURNALS_BYTES // world_size)


class JournalWriter:
    """Appends events to a journal. Once the journal is full, its last line says so, and further events are dropped."""

    def __init__(self, descriptor: int) -> None:
        # A mapping, because student code may close every descriptor that it finds.
        self._memory = mmap.mmap(descriptor, 0)
        self._limit = len(self._memory) - len(TRUNCATED_LINE)
        self._offset = 0
        self._lock = threading.Lock()

    def write(self, event: Event) -> None:
        """Append one event."""
        line = _encode(event) + b"\n"
        with self._lock:
            if self._offset + len(line) > self._limit:
                line, self._limit = (TRUNCATED_LINE, -1) if self._limit >= 0 else (b"", -1)
            self._memory[self._offset : self._offset + len(line)] = line
            self._offset += len(line)


def printable(text: str) -> str:
    """Return `text` in a form that a journal can hold: short, on one line, without control characters."""
    return "".join(c if c.isprintable() else "?" for c in text[:MAX_JOURNAL_TEXT])


def read_journal(data: bytes) -> RankJournal:
    """Return the events in the bytes of a journal, up to the first line that cannot be one."""
    events: list[Event] = []
    issued: set[int] = set()
    marked: set[int] = set()
    for line in data.split(b"\0", 1)[0].splitlines(keepends=True):
        event = _read_line(line)
        if event is None or not _follows(event, issued, marked):
            return RankJournal(events=tuple(events), truncated=True)
        events.append(event)
    return RankJournal(events=tuple(events))


def _read_line(line: bytes) -> Event | None:
    if not line.endswith(b"\n"):
        return None
    try:
        event = _decoder.decode(line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return event if not isinstance(event, _Truncated) and math.isfinite(event.t) else None


def _follows(event: Event, issued: set[int], marked: set[int]) -> bool:
    """Whether `event` makes sense after the operations in `issued` and the marks in `marked`; add to them what it begins."""
    if isinstance(event, MarkBegun):
        is_new = event.mark not in marked
        marked.add(event.mark)
        return is_new
    if isinstance(event, MarkEnded):
        return event.mark in marked
    if isinstance(event, NewGroup | Issue):
        if event.k in issued or not _is_consistent(event.ranks):
            return False
        issued.add(event.k)
        return True
    return event.k in issued


def _is_consistent(ranks: Sequence[int]) -> bool:
    return 0 < len(ranks) == len(set(ranks))
