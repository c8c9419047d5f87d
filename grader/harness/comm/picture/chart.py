"""A timeline as lines of text with styles, for terminals of any kind: a row for each rank, all on one time axis.

Everything can be read without colour. A style is a name that rich knows.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from course_env.pipeline import Action, action_text
from grader.harness.comm.log import CommLog
from grader.harness.comm.picture.spans import (
    COMPUTE,
    IdealStep,
    Span,
    Timeline,
    milliseconds,
    timeline_of,
)
from grader.harness.wording import rank_list

MIN_WIDTH = 40
MANY_TIMES = 3
FILL = {"F": "=", "B": "<", "W": "+", "send": "~", "recv": "~", "wait": "~", "collective": "#"}
STYLES = {
    "F": "black on bright_blue",
    "B": "black on bright_green",
    "W": "black on bright_yellow",
    "collective": "magenta",
    "send": "dim",
    "recv": "dim",
    "wait": "dim",
}
IDLE = " "
NEVER_ENDED = ">"
WAITS = ("wait", "recv", "send", "collective")


class Piece(NamedTuple):
    """Some text and its style, "" for none."""

    text: str
    style: str = ""


Line = tuple[Piece, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Box:
    """Something on a row, between two times in any unit."""

    kind: str
    text: str
    begin: float
    end: float
    is_open: bool = False
    """Whether it never came to its end."""


def chart(timeline: Timeline, width: int) -> tuple[Line, ...]:
    """Return the picture of a launch, in lines of at most `width` columns (40 at least)."""
    width = max(width, MIN_WIDTH)
    lines: list[Line] = []
    if any(span.kind in COMPUTE for span in timeline.spans):
        lines += _ran(timeline, width)
    elif timeline.spans:
        lines += [*_rows(_boxes(timeline), width, timeline.end_s), _axis(timeline.end_s, width)]
    if timeline.ideal:
        lines += [(), *_due(timeline, width)]
    if timeline.spans:
        lines += [_legend(timeline, width), (), *_order(timeline, width), *_talk(timeline, width)]
    if timeline.is_cut:
        lines.append((Piece("The record is not complete: what came later is missing.", "yellow"),))
    return tuple(lines)


def _ran(timeline: Timeline, width: int) -> Iterator[Line]:
    bubble = timeline.bubble
    yield (Piece(f"what ran: {_share(bubble)}" if bubble is not None else "what ran", "bold"),)
    yield from _rows(_boxes(timeline), width, timeline.end_s)
    yield _axis(timeline.end_s, width)


def _due(timeline: Timeline, width: int) -> Iterator[Line]:
    assert timeline.ideal_bubble is not None
    yield (Piece(f"ideal: {_share(timeline.ideal_bubble)}", "bold"),)
    end = max(step.end for step in timeline.ideal)
    rows = [[_box(step) for step in timeline.ideal if step.rank == rank] for rank in range(timeline.world_size)]
    # Whole columns for a unit of time, so that equal steps look equal.
    room = width - _margin(timeline.world_size)
    yield from _rows(rows, width, room / (room // end) if room // end > 1 else end)


def _box(step: IdealStep) -> _Box:
    return _Box(kind=step.kind, text=step.text, begin=step.begin, end=step.end)


def _share(bubble: float) -> str:
    if bubble > MANY_TIMES:  # the passes of small tests take less time than their messages
        return f"idle {bubble:.0f} times as long as busy, for so little work"
    return f"bubble {100 * bubble:.0f} % of busy time"


def _boxes(timeline: Timeline) -> list[list[_Box]]:
    def box(span: Span) -> _Box:
        end = timeline.end_s if span.end_s is None else span.end_s
        return _Box(kind=span.kind, text=span.text, begin=span.begin_s, end=end, is_open=span.end_s is None)

    return [[box(span) for span in timeline.of(rank)] for rank in range(timeline.world_size)]


def _margin(world_size: int) -> int:
    return len(_name(world_size - 1))


def _name(rank: int) -> str:
    return f"rank {rank} |"


def _rows(rows: Sequence[Sequence[_Box]], width: int, end: float) -> Iterator[Line]:
    margin = _margin(len(rows))
    for rank, boxes in enumerate(rows):
        yield (Piece(_name(rank).replace(" |", "").ljust(margin - 1) + "|"), *_row(boxes, width - margin, end))


def _row(boxes: Sequence[_Box], columns: int, end: float) -> Iterator[Piece]:
    """Yield a row's pieces: waits first, then what was computed over them."""
    cells = [Piece(IDLE)] * columns
    scale = columns / end if end else 0.0
    for kinds in (WAITS, COMPUTE):
        for box in boxes:
            if box.kind in kinds:
                begin = min(round(box.begin * scale), columns - 1)
                size = max(round(box.end * scale) - begin, box.is_open or box.kind in COMPUTE)
                cells[begin : begin + size] = _drawn(box, size)
    yield from _joined(cells[:columns])


def _drawn(box: _Box, columns: int) -> list[Piece]:
    text = (box.text if len(box.text) <= columns else box.kind) if box.kind in COMPUTE else ""
    text = text[:columns].ljust(columns, FILL[box.kind])
    if box.is_open:
        text = f"{text[:-1]}{NEVER_ENDED}"
    return [Piece(char, STYLES[box.kind]) for char in text]


def _joined(cells: Sequence[Piece]) -> Iterator[Piece]:
    """Join neighbouring cells of one style."""
    begin = 0
    for at in range(1, len(cells) + 1):
        if at == len(cells) or cells[at].style != cells[begin].style:
            yield Piece("".join(cell.text for cell in cells[begin:at]), cells[begin].style)
            begin = at


def _axis(end_s: float, width: int) -> Line:
    text = f"0 to {milliseconds(end_s)}"
    return (Piece(text.rjust(width), "dim"),)


def _legend(timeline: Timeline, width: int) -> Line:
    names = {"F": "F= forward", "B": "B< backward", "W": "W+ weights", "wait": "~ waits", "collective": "# collective"}
    kinds = timeline.kinds
    texts = [text for kind, text in names.items() if kind in kinds]
    if any(span.end_s is None for span in timeline.spans):
        texts.append(f"{NEVER_ENDED} never ended")
    return (Piece("  ".join(texts)[:width], "dim"),)


def _order(timeline: Timeline, width: int) -> Iterator[Line]:
    """Yield the actions of each rank as words, due above ran if there is an ideal, and how a wrong one differs."""
    for rank in range(timeline.world_size):
        due = _marked_of_ideal(timeline, rank)
        ran = timeline.actions(rank)
        if ran or due:
            for text in order_lines(rank, due, ran, width):
                yield (Piece(text, "red" if due and due != ran else ""),)


def _marked_of_ideal(timeline: Timeline, rank: int) -> tuple[str, ...]:
    """Return the ideal actions of a rank that leave a mark: where backward is split, B of the first stage computes nothing."""
    is_split = any(step.kind == "W" for step in timeline.ideal)
    texts = (step.text for step in timeline.ideal if step.rank == rank)
    return tuple(text for text in texts if not (is_split and rank == 0 and text[0] == "B" and "/" not in text))


def order_picture(comm: CommLog, due: Mapping[int, Sequence[Action]], width: int = 72) -> str:
    """Return what ranks ran by their marks, beside what was due: for explanations, which are the same in every run."""
    timeline = timeline_of(comm)
    lines = (
        line
        for rank, actions in sorted(due.items())
        for line in order_lines(rank, [action_text(action) for action in actions], timeline.actions(rank), width)
    )
    return "\n".join(lines)


def order_lines(rank: int, due: Sequence[str], ran: Sequence[str], width: int) -> tuple[str, ...]:
    """Return what a rank ran, beside what was due if that is another thing, cut to `width`; "^" marks where they part."""
    head = f"rank {rank}"
    if not due or tuple(due) == tuple(ran):
        note = "  as it should" if due else ""
        return (_cut(f"{head} ran  {' '.join(ran)}", width - len(note)) + note,)
    size = max(map(len, (*due, *ran)), default=1)
    same = next((k for k, (a, b) in enumerate(zip(due, ran, strict=False)) if a != b), min(len(due), len(ran)))
    skipped = max(0, (len(head) + 6 + (same + 3) * (size + 1) - width) // (size + 1) + 1)
    lead = "... " if skipped else ""
    rows = [
        f"{name}  {lead}{' '.join(text.ljust(size) for text in words[skipped:])}".rstrip()
        for name, words in ((f"{head} due", due), (f"{' ' * len(head)} ran", ran))
    ]
    at = len(head) + 6 + len(lead) + (same - skipped) * (size + 1)
    return (*(_cut(row, width) for row in rows), " " * at + "^" * size)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 4]} ..."


def _talk(timeline: Timeline, width: int) -> Iterator[Line]:
    """Yield what ranks communicated: number, bytes and partners of their calls, ranks that did the same in one line."""
    said: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for rank in range(timeline.world_size):
        if found := tuple(_calls(timeline, rank)):
            said[found].append(rank)
    for calls, ranks in said.items():
        head = f"{rank_list(ranks)}: "
        line = head
        for k, call in enumerate(calls):
            text = call + (";" if k + 1 < len(calls) else "")
            if len(line) > len(head) and len(line) + len(text) + 1 > width:
                yield (Piece(line.rstrip()),)
                line = "  "
            line += text + " "
        yield (Piece(_cut(line.rstrip(), width)),)


def _calls(timeline: Timeline, rank: int) -> Iterator[str]:
    counts: dict[tuple[str, int, tuple[int, ...]], int] = defaultdict(int)
    for span in timeline.of(rank):
        if span.kind in ("send", "recv", "collective"):
            group = span.partners if span.kind != "collective" else tuple(sorted({*span.partners, rank}))
            counts[span.text, span.num_bytes, group] += 1
    for (op, num_bytes, partners), count in counts.items():
        size = f" of {num_bytes} B" if num_bytes else ""
        with_whom = ",".join(map(str, partners)) or "any"
        link = {"send": "to", "recv": "from"}.get(op, "among")
        yield f"{count} {op}{size} {link} {with_whom}"
