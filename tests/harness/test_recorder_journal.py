"""A journal holds the events that were written to it, and its reader raises for no bytes at all."""

import random

import msgspec
import pytest

from grader.harness.protocol import frame
from grader.harness.protocol.journal import (
    JOURNAL_BYTES,
    CallSite,
    Done,
    FutureTaken,
    Issue,
    JournalWriter,
    NewGroup,
    WaitBegun,
    journal_bytes,
    printable,
    read_journal,
)

EVENTS = (
    NewGroup(k=0, t=0.5, group="0", ranks=(0, 1), api="init_process_group"),
    Done(k=0, t=0.6),
    Issue(k=1, t=1.0, op="all_reduce", group="0", ranks=(0, 1), inputs=(5,), outputs=(5,), dtype="float32", itemsize=4),
    WaitBegun(k=1, t=1.5, site=CallSite("x.py", 3, "solve")),
    Done(k=1, t=2.0),
    Issue(k=2, t=3.0, op="recv", group="0", ranks=(0, 1), outputs=(2,), tag=-1, site=CallSite("é x.py", 3, "lösung")),
    FutureTaken(k=2, t=3.5),
    Done(k=2, t=4.0, peer=1),
)


def written(*events, size: int = 1 << 16) -> bytes:
    """Return the bytes of a journal of `size` bytes into which these events were written."""
    descriptor = frame.sealed_output(size)
    writer = JournalWriter(descriptor)
    for event in events:
        writer.write(event)
    return frame.read_written(descriptor, size)


def lines(*events: dict) -> bytes:
    """Return a journal as a rank could forge it."""
    return b"".join(msgspec.json.encode(event) + b"\n" for event in events)


def test_events_are_read_as_they_were_written():
    """Every kind of event is read as it was written."""
    journal = read_journal(written(*EVENTS))

    assert journal.events == EVENTS
    assert not journal.truncated


def test_a_full_journal_says_so():
    """Events that do not fit are dropped without an error, and the reader says so."""
    journal = read_journal(written(EVENTS[0], *(Done(k=0, t=1.0) for _ in range(99)), size=400))
    assert journal.truncated
    assert 3 < len(journal.events) < 20


ISSUE = {"type": "issue", "k": 0, "t": 1.0, "op": "send", "group": "0", "ranks": [0, 1]}


@pytest.mark.parametrize(
    "forged",
    [
        {"op": "rm -rf"},
        {"op": "\x1b[2J"},
        {"group": "\n"},
        {"group": "x" * 1000},
        {"k": -1},
        {"k": 1 << 80},
        {"k": 1.5},
        {"t": -1.0},
        {"t": 1e300},
        {"ranks": []},
        {"ranks": [0, 0]},
        {"ranks": [-1]},
        {"inputs": [-5]},
        {"inputs": [1 << 60]},
        {"itemsize": 0},
        {"itemsize": 1000},
        {"site": ["x.py", 3]},
        {"site": ["\x1b]0;x\x07", 3, "f"]},
        {"peer": "0"},
        {"surplus": 1},
        {"type": "unknown"},
    ],
    ids=str,
)
def test_a_forged_field_ends_the_journal(forged):
    """If one field is wrong, the event and all that follow are dropped, and the reader says so."""
    journal = read_journal(lines({**ISSUE, "k": 7}, {**ISSUE, **forged}, {**ISSUE, "k": 9}))

    assert [event.k for event in journal.events] == [7]
    assert journal.truncated


@pytest.mark.parametrize(
    "data",
    [b"{", b"[" * 100_000, b"\xff\n", b'{"type":"done","k":0,"t":1.0}\n', lines(ISSUE, ISSUE), lines(ISSUE)[:-1]],
)
def test_what_is_no_journal_is_dropped(data):
    """Deep nesting, invalid UTF-8, the end of an operation that was never issued, repeats and torn lines end the journal."""
    assert read_journal(data).truncated


def test_no_damage_makes_the_reader_raise():
    """Whatever bytes are changed, the reader returns no more events than were written."""
    data = written(*EVENTS)
    generator = random.Random(0)
    for _ in range(300):
        damaged = bytearray(data)
        for _ in range(generator.randrange(1, 4)):
            damaged[generator.randrange(len(data))] = generator.randrange(256)
        assert len(read_journal(bytes(damaged)).events) <= len(EVENTS)


def test_text_is_made_fit_for_a_journal():
    """Text from student code loses its control characters and is cut."""
    assert printable("a\x1bé\n" + "b" * 300) == "a?é?" + "b" * 196


def test_the_journals_of_a_launch_have_one_bound():
    """The more ranks write journals, the smaller is each of them: the judge compares the events of all."""
    sizes = {world_size: journal_bytes(world_size) for world_size in range(1, 17)}

    assert JOURNAL_BYTES == sizes[1] == sizes[2]
    assert max(world_size * size for world_size, size in sizes.items()) <= 8 << 20
    assert sizes[16] > 400_000  # thousands of operations
