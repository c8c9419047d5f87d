"""A timeline as SVG: a lane for each rank, boxes for what it computed, bars for its waits, lines for its messages."""

from collections.abc import Iterator, Sequence
from html import escape

from grader.harness.comm.picture.spans import COMPUTE, Message, Span, Timeline, milliseconds

LEFT, RIGHT, TOP = 70, 20, 62
WIDTH = 1200  # of the whole picture
LANE, BOX, BAR = 46, 24, 8  # heights: of a lane, of what is computed, of what is waited for
LETTER = 6.6  # width of a letter of 11 px in a monospaced font
COLOURS = {"F": "#8ab4f8", "B": "#81c995", "W": "#fdd663", "send": "#dadce0", "recv": "#dadce0", "wait": "#dadce0"}
COLLECTIVE = "#d7aefb"
INK, SOFT = "#202124", "#5f6368"
LEGEND = {"F": "forward", "B": "backward", "W": "weights", "wait": "waits", "collective": "collective"}


def svg(timeline: Timeline, title: str) -> str:
    """Return the picture as the text of an SVG file."""
    ran = _Section(timeline.end_s or 1.0, TOP)
    parts = [*_head(timeline, title), *ran.lanes(timeline.world_size, f"what ran, {milliseconds(timeline.end_s)}")]
    for span in timeline.spans:
        parts.extend(ran.span(span))
    parts.extend(ran.message(message) for message in timeline.messages if message.received_s is not None)
    bottom = ran.bottom(timeline.world_size)
    if timeline.ideal:
        ideal = _Section(max(step.end for step in timeline.ideal), bottom + 34)
        parts.extend(ideal.lanes(timeline.world_size, f"ideal, bubble {_percent(timeline.ideal_bubble)}"))
        for step in timeline.ideal:
            parts.extend(ideal.box(step.rank, step.kind, step.text, step.begin, step.end))
        bottom = ideal.bottom(timeline.world_size)
    height = bottom + 20
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'font-family="monospace" font-size="11" fill="{INK}">'
    )
    return "\n".join([head, f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>', *parts, "</svg>"]) + "\n"


def _percent(bubble: float | None) -> str:
    return "unknown" if bubble is None else f"{100 * bubble:.0f} % of busy time"


def _head(timeline: Timeline, title: str) -> Iterator[str]:
    yield f"<title>{escape(title)}</title>"
    yield f'<text x="8" y="18" font-size="14">{escape(title)}</text>'
    if timeline.bubble is not None:
        yield f'<text x="{WIDTH - RIGHT}" y="18" text-anchor="end">bubble {_percent(timeline.bubble)}</text>'
    kinds = timeline.kinds
    x = LEFT
    for kind, name in LEGEND.items():
        if kind in kinds:
            yield f'<rect x="{x}" y="27" width="12" height="10" fill="{_colour(kind)}"/>'
            yield f'<text x="{x + 16}" y="36">{name}</text>'
            x += 30 + int(LETTER * len(name))


def _colour(kind: str) -> str:
    return COLOURS.get(kind, COLLECTIVE)


class _Section:
    """Lanes that share one time axis."""

    def __init__(self, end: float, top: int) -> None:
        self._scale = (WIDTH - LEFT - RIGHT) / end
        self._end = end
        self._top = top

    def bottom(self, num_ranks: int) -> int:
        """Return the y of its lower edge."""
        return self._top + LANE * num_ranks

    def lanes(self, num_ranks: int, title: str) -> Sequence[str]:
        """Return its title, and a line and a name for each rank."""
        parts = [f'<text x="{LEFT}" y="{self._top - 8}" fill="{SOFT}">{escape(title)}</text>']
        for rank in range(num_ranks):
            y = self._top + LANE * rank
            parts.append(f'<path d="M{LEFT} {y + BOX}H{WIDTH - RIGHT}" stroke="#e8eaed"/>')
            parts.append(f'<text x="8" y="{y + 16}">rank {rank}</text>')
        return parts

    def span(self, span: Span) -> Iterator[str]:
        """Yield one thing that a rank did; what never ended has a dashed edge."""
        end = self._end if span.end_s is None else span.end_s
        if span.kind in COMPUTE:
            yield from self.box(span.rank, span.kind, span.text, span.begin_s, end, is_open=span.end_s is None)
            return
        x, width = self._place(span.begin_s, end)
        y = self._top + LANE * span.rank + BOX + 3
        edge = ' stroke="#d93025" stroke-dasharray="3 2"' if span.end_s is None else ""
        about = f"{span.title}, {span.num_bytes} B, with rank {', '.join(map(str, span.partners)) or 'unknown'}"
        yield (
            f'<rect x="{x:.1f}" y="{y}" width="{max(width, 1):.1f}" height="{BAR}" fill="{_colour(span.kind)}"{edge}>'
            f"<title>{escape(about)}</title></rect>"
        )

    def box(self, rank: int, kind: str, text: str, begin: float, end: float, *, is_open: bool = False) -> Iterator[str]:
        """Yield a box, and its label where there is room for it; the box itself says it to the mouse."""
        x, width = self._place(begin, end)
        y = self._top + LANE * rank
        edge = '#d93025" stroke-dasharray="3 2' if is_open else "#ffffff"
        yield (
            f'<rect class="box" x="{x:.1f}" y="{y}" width="{max(width, 1):.1f}" height="{BOX}" fill="{_colour(kind)}" '
            f'stroke="{edge}"><title>{escape(text)}</title></rect>'
        )
        label = text if width >= LETTER * len(text) + 2 else kind if width >= LETTER + 2 else ""
        if label:
            yield (
                f'<text class="label" x="{x + width / 2:.1f}" y="{y + 16}" text-anchor="middle" '
                f'pointer-events="none">{escape(label)}</text>'
            )

    def message(self, message: Message) -> str:
        """Return the line of a message, from its call to its arrival."""
        assert message.received_s is not None
        (x1, _), (x2, _) = self._place(message.sent_s, 0), self._place(message.received_s, 0)
        y1, y2 = (self._top + LANE * rank + BOX + 3 + BAR / 2 for rank in (message.sender, message.receiver))
        about = f"{message.num_bytes} B from rank {message.sender} to rank {message.receiver}"
        return (
            f'<path d="M{x1:.1f} {y1}L{x2:.1f} {y2}" stroke="{SOFT}" stroke-width="0.7" opacity="0.6">'
            f"<title>{about}</title></path>"
        )

    def _place(self, begin: float, end: float) -> tuple[float, float]:
        return LEFT + begin * self._scale, max(0.0, end - begin) * self._scale
