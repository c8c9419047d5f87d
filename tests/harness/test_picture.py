"""Pictures of what ran: the list of events, and the three renderers."""

import json
import re
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest

from course_env.marks import mark
from grader.harness.comm.log import CommLog
from grader.harness.comm.picture.chart import chart, order_lines
from grader.harness.comm.picture.spans import Message, Span, Timeline, read_ideal, timeline_of
from grader.harness.comm.picture.svg import LETTER, svg
from grader.harness.comm.picture.trace import chrome_trace
from grader.harness.protocol.journal import Done, Issue, MarkBegun, MarkEnded, RankJournal, read_journal

SMALL = Timeline(
    world_size=2,
    spans=(
        Span(rank=0, kind="F", text="F0", begin_s=0.0, end_s=0.1),
        Span(rank=1, kind="recv", text="recv", begin_s=0.0, end_s=0.12, partners=(0,), num_bytes=64),
        Span(rank=0, kind="send", text="send", begin_s=0.1, end_s=0.1, partners=(1,), num_bytes=64),
        Span(rank=1, kind="F", text="F0", begin_s=0.12, end_s=0.2),
        Span(rank=1, kind="B", text="B0", begin_s=0.2, end_s=0.4),
    ),
    messages=(Message(sender=0, receiver=1, sent_s=0.1, received_s=0.12, num_bytes=64),),
    ideal=read_ideal(["F0 . . . B0 -", ". F0 B0 - . ."]),
)

GOLDEN = """\
what ran: bubble 111 % of busy time
rank 0 |F0======
rank 1 |~~~~~~~~~~F0====B0<<<<<<<<<<<<<<
                             0 to 400 ms

ideal: bubble 100 % of busy time
rank 0 |F0===               B0<<<<<<<<
rank 1 |     F0===B0<<<<<<<<
F= forward  B< backward  ~ waits

rank 0 due  F0 B0
       ran  F0
               ^^
rank 1 ran  F0 B0  as it should
rank 0: 1 send of 64 B to 1
rank 1: 1 recv of 64 B from 0"""


def text_of(timeline, width):
    """Return the chart without its colours."""
    lines = ("".join(piece.text for piece in line) for line in chart(timeline, width))
    return "\n".join(line.rstrip() for line in lines)


def test_chart_of_a_small_timeline():
    """The terminal's picture has a row for each rank on one axis, the ideal below it, and what each rank ran beside what was due."""
    assert text_of(SMALL, 40) == GOLDEN


def wide(world_size):
    """Return a timeline with long names and many ranks, whose last rank never ends."""
    spans = [
        Span(
            rank=r,
            kind="B",
            text=f"B{123456 + r}/{r}",
            begin_s=i / 10,
            end_s=None if (r, i) == (7, 39) else i / 10 + 0.1,
        )
        for i in range(40)
        for r in range(world_size)
    ]
    talk = [
        Span(
            rank=r,
            kind="collective",
            text="reduce_scatter_single_coalesced",
            begin_s=5.0,
            partners=tuple(range(8)),
            num_bytes=1 << 40,
        )
        for r in range(world_size)
    ]
    return Timeline(world_size=world_size, spans=(*spans, *talk), ideal=read_ideal(["F0 " * 200] * world_size))


@pytest.mark.parametrize("world_size", [1, 8, 12])
def test_chart_keeps_to_80_columns(world_size):
    """No line is wider than 80 columns, with 8 ranks and more, long names, and passes that never ended."""
    assert max(map(len, text_of(wide(world_size), 80).splitlines())) <= 80


def test_order_lines_show_where_a_long_order_parts():
    """Where ranks part from a long order late, the lines begin shortly before, and the mark stands under both."""
    due = [f"F{i}" for i in range(60)]
    ran = [*due[:50], "B0", *due[51:]]

    first, second, marks = order_lines(3, due, ran, 72)

    at = marks.index("^")
    assert ("F50", "B0 ") == (first[at : at + 3], second[at : at + 3])
    assert max(len(first), len(second)) <= 72


def test_trace_has_the_fields_that_perfetto_asks_for():
    """Each slice has a name, a process, a thread, a time and a duration; times rise; each arrow has one begin and one end within slices."""
    events = json.loads(chrome_trace(SMALL))["traceEvents"]
    slices = [event for event in events if event["ph"] == "X"]
    timed = [event["ts"] for event in events if event["ph"] != "M"]

    assert all({"name", "pid", "tid", "ts", "dur"} <= event.keys() and event["dur"] > 0 for event in slices)
    assert timed == sorted(timed)
    assert {(event["pid"], event["args"]["name"]) for event in events if event["name"] == "process_name"} == {
        (0, "rank 0"),
        (1, "rank 1"),
    }
    starts, ends = ({event["id"]: event for event in events if event["ph"] == kind} for kind in "sf")
    assert starts.keys() == ends.keys() == {0}
    assert starts[0]["ts"] <= ends[0]["ts"]
    for end in (starts[0], ends[0]):
        assert any(
            (one["pid"], one["tid"]) == (end["pid"], end["tid"]) and one["ts"] <= end["ts"] <= one["ts"] + one["dur"]
            for one in slices
        )


@pytest.mark.parametrize("timeline", [SMALL, wide(8), Timeline(world_size=2)], ids=["small", "wide", "empty"])
def test_svg_is_xml_whose_labels_do_not_overlap(timeline):
    """The SVG is well-formed, also with a title of special characters, and no two labels of a lane overlap."""
    root = ET.fromstring(svg(timeline, "a <b> & c"))
    lanes = {}
    for one in root.iter("{http://www.w3.org/2000/svg}text"):
        if one.get("class") == "label":
            lanes.setdefault(one.get("y"), []).append((float(one.get("x")), LETTER * len(one.text)))

    assert bool(lanes) is bool(timeline.spans)
    for labels in lanes.values():
        labels.sort()
        for (x, width), (other, other_width) in pairwise(labels):
            assert x + width / 2 <= other - other_width / 2


def send(k, t):
    """Return the issue of a message from rank 0 to rank 1."""
    return Issue(k=k, t=t, op="send", group="0", ranks=(0, 1), inputs=(8,), dtype="float64", itemsize=8, peer=1, tag=k)


def test_timeline_of_a_rank_that_died():
    """What a rank began and never ended is in the timeline without an end, and a message that nobody received is no arrow."""
    first = RankJournal(events=(MarkBegun(mark=0, action=("F", 0, 1), t=5.0), MarkEnded(mark=0, t=6.0), send(0, 6.5)))
    second = RankJournal(events=(MarkBegun(mark=0, action=("B", 2, 0), t=7.0),))

    timeline = timeline_of(CommLog([first, second]))

    assert [(s.rank, s.text, s.begin_s, s.end_s) for s in timeline.spans] == [
        (0, "F0/1", 0.0, 1.0),
        (0, "send", 1.5, None),
        (1, "B2", 2.0, None),
    ]
    assert timeline.messages == ()
    assert "rank 1 ran  B2" in text_of(timeline, 80)
    ET.fromstring(svg(timeline, "died"))
    assert json.loads(chrome_trace(timeline))


def test_timeline_pairs_messages():
    """A message goes from its send to the moment at which its receiver had it."""
    received = Issue(k=0, t=1.0, op="recv", group="0", ranks=(0, 1), outputs=(8,), itemsize=8, peer=0, tag=0)

    timeline = timeline_of(
        CommLog([RankJournal(events=(send(0, 2.0),)), RankJournal(events=(received, Done(k=0, t=3.0)))])
    )

    assert timeline.messages == (Message(sender=0, receiver=1, sent_s=1.0, received_s=2.0, num_bytes=64),)


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"mark","mark":0,"t":1.0,"action":["X",0,0]}\n',
        b'{"type":"mark","mark":-1,"t":1.0,"action":["F",0,0]}\n',
        b'{"type":"mark","mark":0,"t":NaN,"action":["F",0,0]}\n',
        b'{"type":"mark","mark":0,"t":1.0,"action":["F",0,0],"text":"\\u001b"}\n',
        b'{"type":"mark_end","mark":0,"t":1.0}\n',
    ],
)
def test_forged_marks_end_a_journal(line):
    """A mark that is no action, has no number, ends what never began, or brings more than it should is not believed."""
    assert read_journal(line) == RankJournal(events=(), truncated=True)


def test_marks_go_nowhere_without_a_recorder():
    """In a process without a recorder, as a baseline's, a mark does nothing."""
    with mark(("F", 0, 0)):
        pass


def test_bubble_counts_nested_passes_once():
    """A pass within another pass counts once in the busy time."""
    spans = (
        Span(rank=0, kind="B", text="B0", begin_s=0.0, end_s=2.0),
        Span(rank=0, kind="F", text="F0", begin_s=0.5, end_s=1.0),
        Span(rank=1, kind="F", text="F0", begin_s=3.0, end_s=4.0),
    )
    assert Timeline(world_size=2, spans=spans).bubble == pytest.approx(5 / 3)
    assert re.search(r"bubble 167 %", text_of(Timeline(world_size=2, spans=spans), 80))
