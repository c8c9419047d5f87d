"""A timeline as Chrome trace events, which https://ui.perfetto.dev and chrome://tracing open.

A process for each rank, with a thread for what it computed and one for its communication; flow arrows for messages.
Source: Trace Event Format, the JSON object form.
"""

import math
from collections.abc import Iterator
from typing import Any

import msgspec

from grader.harness.comm.picture.spans import COMPUTE, Message, Span, Timeline

COMPUTING, COMMUNICATING, IDEAL = 1, 2, 3  # threads of a rank
THREADS = {COMPUTING: "computes", COMMUNICATING: "communicates", IDEAL: "ideal"}
MICRO = 1e6
MIN_US = 1
"""The shortest slice: an arrow begins and ends inside a slice, and an empty one has no inside."""


def chrome_trace(timeline: Timeline) -> bytes:
    """Return the trace as JSON; times in microseconds from the first event."""
    events = sorted(_slices(timeline), key=lambda event: event["ts"])
    trace = {"traceEvents": [*_names(timeline), *events], "displayTimeUnit": "ms"}
    return msgspec.json.format(msgspec.json.encode(trace), indent=1)


def _names(timeline: Timeline) -> Iterator[dict[str, Any]]:
    for rank in range(timeline.world_size):
        yield {"ph": "M", "name": "process_name", "pid": rank, "tid": 0, "args": {"name": f"rank {rank}"}}
        yield {"ph": "M", "name": "process_sort_index", "pid": rank, "tid": 0, "args": {"sort_index": rank}}
        for thread, name in THREADS.items():
            if thread != IDEAL or timeline.ideal:
                yield {"ph": "M", "name": "thread_name", "pid": rank, "tid": thread, "args": {"name": name}}


def _slices(timeline: Timeline) -> Iterator[dict[str, Any]]:
    for span in timeline.spans:
        yield _slice(span, timeline.end_s)
    for number, message in enumerate(timeline.messages):
        yield from _arrow(number, message)
    if timeline.ideal:
        # An ideal step has no seconds: the whole of it is drawn as long as what ran.
        unit = MICRO * timeline.end_s / max(step.end for step in timeline.ideal)
        for step in timeline.ideal:
            place = {"pid": step.rank, "tid": IDEAL, "ts": step.begin * unit, "dur": (step.end - step.begin) * unit}
            yield {"ph": "X", "name": step.text, "cat": step.kind, **place}


def _slice(span: Span, end_s: float) -> dict[str, Any]:
    begin = math.floor(span.begin_s * MICRO)
    end = math.ceil((end_s if span.end_s is None else span.end_s) * MICRO)
    event: dict[str, Any] = {
        "ph": "X",
        "name": span.title,
        "cat": span.kind,
        "pid": span.rank,
        "tid": COMPUTING if span.kind in COMPUTE else COMMUNICATING,
        "ts": begin,
        "dur": max(end - begin, MIN_US),
    }
    args: dict[str, Any] = {} if span.end_s is not None else {"ended": False}
    if span.kind not in COMPUTE:
        args |= {"bytes": span.num_bytes, "partners": list(span.partners)}
    return {**event, "args": args} if args else event


def _arrow(number: int, message: Message) -> Iterator[dict[str, Any]]:
    """Yield both ends of a message that arrived: from the call that sent it to the moment at which its receiver had it."""
    if message.received_s is None:
        return
    arrow = {"name": "message", "cat": "message", "id": number, "tid": COMMUNICATING}
    sent, received = math.floor(message.sent_s * MICRO), math.floor(message.received_s * MICRO)
    yield {"ph": "s", **arrow, "pid": message.sender, "ts": sent}
    yield {"ph": "f", "bp": "e", **arrow, "pid": message.receiver, "ts": max(sent, received)}
