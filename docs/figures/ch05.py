# ruff: noqa: INP001 - a script that is run by its path
"""Draw the figures of chapter 5: `python docs/figures/ch05.py [folder]`.

The timelines are those of the course's own schedules under its own simulator.
"""

import sys
from pathlib import Path

from drawing import BLACK, BLUE, GREEN, GREY, ORANGE, PAPER, RED, blank, main, text
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

sys.path.insert(0, str(Path(__file__).parents[2]))

from solutions.ch05_pipeline_parallelism.interleaved import interleaved_1f1b_schedule
from solutions.ch05_pipeline_parallelism.schedules import gpipe_schedule, one_f_one_b_schedule
from solutions.ch05_pipeline_parallelism.simulator import simulate
from solutions.ch05_pipeline_parallelism.zero_bubble import zb_h1_schedule

# Two tints of a kind, for chunk 0 and chunk 1.
TINTS = {"F": ("#9CC9E5", "#5BA4D1"), "B": ("#F6CF7F", "#E9A93A"), "W": ("#8FD3BC", "#8FD3BC")}
UNIT = 0.55  # width of one unit of time


def two_schedules() -> Figure:
    """Draw GPipe and 1F1B on four devices with eight micro-batches."""
    figure, axes = blank(21.5, 12.2)
    _timeline(axes, 6.7, gpipe_schedule(4, 8), "GPipe: a bubble of 3/8, and eight micro-batches held on every device")
    held = "1F1B: the same bubble, and 4, 3, 2 and 1 micro-batches held"
    _timeline(axes, 0.7, one_f_one_b_schedule(4, 8), held)
    return figure


def interleaving() -> Figure:
    """Draw 1F1B and interleaved 1F1B with two chunks, in the same units of time."""
    figure, axes = blank(21.5, 12.2)
    _timeline(axes, 6.7, one_f_one_b_schedule(4, 8), "1F1B: one stage on each device, 33 units", per_chunk=2)
    words = "interleaved: two chunks on each device (the darker is chunk 1), half as much in each pass, 28.5 units"
    _timeline(axes, 0.7, interleaved_1f1b_schedule(4, 2, 8), words)
    return figure


def zero_bubble() -> Figure:
    """Draw 1F1B and ZB-H1 with forward, B and W of equal length."""
    figure, axes = blank(21.5, 12.2)
    _timeline(axes, 6.7, one_f_one_b_schedule(4, 8), "1F1B: backward in one piece, 33 units")
    _timeline(axes, 0.7, zb_h1_schedule(4, 8), "ZB-H1: W (green) fills what was idle, 27 units", split=True)
    return figure


def memory() -> Figure:
    """Draw how many micro-batches each of eight devices holds, by schedule."""
    p, v, m = 8, 2, 16
    held = {
        "GPipe": [float(peak) for peak in _peaks(gpipe_schedule(p, m))],
        "interleaved, v = 2": [peak / v for peak in _peaks(interleaved_1f1b_schedule(p, v, m))],
        "ZB-H1": [float(peak) for peak in _peaks(zb_h1_schedule(p, m))],
        "1F1B": [float(peak) for peak in _peaks(one_f_one_b_schedule(p, m))],
    }
    figure = Figure(figsize=(9, 4.2))
    axes = figure.add_axes((0.08, 0.14, 0.62, 0.8))
    looks = ((GREY, "o"), (ORANGE, "s"), (GREEN, "^"), (BLUE, "D"))
    for (name, values), (colour, marker) in zip(held.items(), looks, strict=True):
        axes.plot(range(p), values, color=colour, marker=marker)
        axes.text(p - 0.8, values[-1], name, color=BLACK, va="center")
    axes.set(xlabel="device", ylabel="micro-batches held", ylim=(0, m + 1))
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def bubbles() -> Figure:
    """Draw the bubble against the number of micro-batches, on eight devices."""
    p, numbers = 8, list(range(8, 65, 8))
    figure = Figure(figsize=(9, 4.2))
    axes = figure.add_axes((0.08, 0.14, 0.62, 0.8))
    curves = {
        "GPipe, 1F1B": ([(p - 1) / m for m in numbers], GREY, "o"),
        "interleaved, v = 2": ([(p - 1) / (2 * m) for m in numbers], ORANGE, "s"),
        "ZB-H1": ([(p - 1) / (3 * m) for m in numbers], GREEN, "^"),
        "interleaved, v = 4": ([(p - 1) / (4 * m) for m in numbers], RED, "v"),
    }
    for place, (name, (values, colour, marker)) in enumerate(curves.items()):
        axes.plot(numbers, values, color=colour, marker=marker, label=name)
        axes.text(66, 0.33 - 0.07 * place, name, color=BLACK, va="center")
        axes.plot([64.9], [0.33 - 0.07 * place], color=colour, marker=marker, clip_on=False)
    axes.set(xlabel="micro-batches", ylabel="idle time / busy time", ylim=(0, 0.95), xlim=(6, 64))
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _peaks(schedule: tuple) -> tuple[int, ...]:
    return simulate(schedule, t_f=1, t_b=2).peak


def _timeline(axes: Axes, y: float, schedule: tuple, title: str, *, per_chunk: int = 1, split: bool = False) -> None:
    """Draw when each action runs; a unit of time is that of a forward pass of a chunk, or half of it with per_chunk=2."""
    chunks = 1 + max(chunk for actions in schedule for _, _, chunk in actions)
    done = simulate(schedule, t_f=per_chunk, t_b=per_chunk if split else 2 * per_chunk, t_w=per_chunk if split else 0)
    unit = UNIT / max(chunks, per_chunk)
    text(axes, 1.6, y + 4.7, title, ha="left", fontsize=11)
    for device, (actions, times) in enumerate(zip(schedule, done.times, strict=True)):
        bottom = y + 3 - device
        text(axes, 1.4, bottom + 0.5, f"device {device}", ha="right", fontsize=10)
        axes.add_patch(
            Rectangle((1.6, bottom), done.makespan * unit, 1, facecolor=PAPER, edgecolor="#CCCCCC", linewidth=0.6)
        )
        for (kind, micro_batch, chunk), (begin, end) in zip(actions, times, strict=True):
            tint = TINTS[kind][chunk]
            x, width = 1.6 + begin * unit, (end - begin) * unit
            axes.add_patch(Rectangle((x, bottom), width, 1, facecolor=tint, edgecolor=BLACK, linewidth=0.6))
            label = f"{kind}{micro_batch}" if unit >= UNIT or width >= UNIT else str(micro_batch)
            text(axes, x + width / 2, bottom + 0.48, label, fontsize=8 if width >= UNIT else 6.5)


if __name__ == "__main__":
    main("ch05", (two_schedules, interleaving, zero_bubble, memory, bubbles))
