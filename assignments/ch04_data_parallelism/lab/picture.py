"""The lab's picture: loss curves to the left, the bytes of a step to the right, as SVG text and without a library."""

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

WIDTH, HEIGHT, MARGIN = 960, 380, 60
LEFT, RIGHT, TOP, BOTTOM = MARGIN, 500, 50, 320
BARS_LEFT, BARS_RIGHT, BAR_HEIGHT, BAR_PITCH = 560, 900, 16, 46
COLOURS = ("#999999", "#d55e00", "#e69f00", "#009e73", "#0072b2", "#cc79a7")


def draw(curves: Mapping[str, Sequence[float]], bars: Mapping[str, float]) -> str:
    """Return an SVG of the loss curves and of one bar per name, by the same names."""
    colours = dict(zip(curves, COLOURS, strict=False))
    parts = [
        _text(LEFT, 30, "Loss by step: equal curves lie on top of each other", size=15),
        *_axes(curves),
        # Equal curves hide each other, so each is thinner than the one below it.
        *(
            _curve(losses, curves, colours[name], 13 - 2 * number)
            for number, (name, losses) in enumerate(curves.items())
        ),
        _text(BARS_LEFT, 30, "Bytes that rank 0 sends in one step", size=15),
        *(
            part
            for number, (name, value) in enumerate(bars.items())
            for part in _bar(number, name, value, max(bars.values()), colours[name])
        ),
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
            *parts,
            "</svg>\n",
        ]
    )


def _axes(curves: Mapping[str, Sequence[float]]) -> list[str]:
    low, high = _range(curves)
    steps = max(map(len, curves.values()))
    frame = f'<path d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}" fill="none" stroke="black"/>'
    values = [_text(LEFT - 8, _height(value, low, high) + 4, f"{value:.1f}", anchor="end") for value in (low, high)]
    return [frame, *values, _text(LEFT, BOTTOM + 20, "1"), _text(RIGHT, BOTTOM + 20, f"{steps}", anchor="end")]


def _curve(losses: Sequence[float], curves: Mapping[str, Sequence[float]], colour: str, width: float) -> str:
    low, high = _range(curves)
    pitch = (RIGHT - LEFT) / max(1, len(losses) - 1)
    seen = [(LEFT + pitch * step, _height(loss, low, high)) for step, loss in enumerate(losses) if math.isfinite(loss)]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in seen)
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-linejoin="round"/>'


def _bar(number: int, name: str, value: float, largest: float, colour: str) -> list[str]:
    top = TOP + 20 + number * BAR_PITCH
    length = max(2.0, (BARS_RIGHT - BARS_LEFT) * value / (largest or 1.0))
    rectangle = f'<rect x="{BARS_LEFT}" y="{top}" width="{length:.1f}" height="{BAR_HEIGHT}" fill="{colour}"/>'
    return [_text(BARS_LEFT, top - 5, f"{name}: {value:,.0f}"), rectangle]


def _range(curves: Mapping[str, Sequence[float]]) -> tuple[float, float]:
    values = [loss for losses in curves.values() for loss in losses if math.isfinite(loss)]
    return min(values), max(values)


def _height(value: float, low: float, high: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * (value - low) / ((high - low) or 1.0)


def _text(x: float, y: float, text: str, *, size: int = 12, anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">{escape(text)}</text>'
