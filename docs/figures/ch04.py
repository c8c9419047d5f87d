# ruff: noqa: INP001 - a script that is run by its path
"""Draw the figures of chapter 4: `python docs/figures/ch04.py [folder]`."""

import re
from collections.abc import Sequence
from typing import Any

from drawing import (
    ASSIGNMENTS,
    BLACK,
    BLUE,
    GREEN,
    GREY,
    PAPER,
    RANK_TINTS,
    RED,
    arrow,
    blank,
    box,
    cell,
    main,
    text,
)
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

MILLI = 1e3
MIB = 2**20
NUM_EXAMPLES = 7  # of the sampler's picture
DARK_GREEN = "#00664B"  # of letters; the palette's green is too light for them


def data_parallel() -> Figure:
    """Draw what one step of DataParallel and one of DDP move between four GPUs."""
    figure, axes = blank(21, 11.2)
    text(axes, 5.2, 10.7, "DataParallel: one process, a thread per GPU", weight="bold")
    text(axes, 15.8, 10.7, "DDP: a process per GPU", weight="bold")
    _gpu(axes, 3.0, 7.6, "GPU 0", "parameters, optimizer,\nall outputs, the loss", width=4.4)
    for gpu in range(1, 4):
        x = 0.4 + 3.4 * (gpu - 1)
        _gpu(axes, x, 2.4, f"GPU {gpu}", "a replica for\none step", width=3.0)
        top = 3.9 + 1.3 * (gpu - 1)
        arrow(axes, (top - 0.25, 7.6), (x + 1.25, 4.5), color=BLUE)
        arrow(axes, (x + 1.75, 4.5), (top + 0.25, 7.6), color=RED)
    text(axes, 0.3, 6.3, "inputs,\nparameters", color=BLUE, ha="left", fontsize=10)
    text(axes, 8.6, 6.3, "outputs,\ngradients", color="#A34700", ha="left", fontsize=10)
    text(
        axes, 5.2, 1.3, "each step: N - 1 copies of the model down,\nN - 1 gradients up, all through GPU 0", fontsize=10
    )
    corners = [(11.7, 7.6), (17.0, 7.6), (17.0, 2.4), (11.7, 2.4)]
    for rank, (x, y) in enumerate(corners):
        _gpu(axes, x, y, f"rank {rank}", "parameters,\noptimizer, data", width=3.4)
    ring = [
        ((15.1, 8.7), (17.0, 8.7)),
        ((18.7, 7.6), (18.7, 4.6)),
        ((17.0, 3.5), (15.1, 3.5)),
        ((13.4, 4.6), (13.4, 7.6)),
    ]
    for start, end in ring:
        arrow(axes, start, end, color=RED, linewidth=2.0)
    text(axes, 16.05, 6.1, "gradients\nround a ring", color="#A34700", fontsize=10)
    text(axes, 15.8, 1.3, "each step: 2 (N - 1) / N of the gradients\nout of every rank, parameters never", fontsize=10)
    return figure


def _gpu(axes: Axes, x: float, y: float, name: str, holds: str, *, width: float) -> None:
    """Draw one device, its lower left corner at (x, y)."""
    box(axes, x, y, width, 2.1, tint=RANK_TINTS[0])
    text(axes, x + width / 2, y + 1.65, name, weight="bold", fontsize=10.5)
    text(axes, x + width / 2, y + 0.75, holds, fontsize=9.5)


def sampler() -> Figure:
    """Draw the padded lists of seven examples for two and for three ranks, and who gets which position."""
    figure, axes = blank(19.5, 6.6)
    for row, num_ranks in enumerate((2, 3)):
        y, length = 4.1 - 3.0 * row, -(-NUM_EXAMPLES // num_ranks) * num_ranks
        text(axes, 0.3, y + 0.5, f"{num_ranks} ranks", ha="left")
        for position in range(length):
            x = 2.6 + 1.25 * position
            cell(axes, x, y, str(position % NUM_EXAMPLES), tint=RANK_TINTS[position % num_ranks])
            if position >= NUM_EXAMPLES:
                frame = Rectangle((x, y), 1, 1, fill=False, edgecolor=RED, linewidth=2.4, linestyle="--", zorder=3)
                axes.add_patch(frame)
            text(axes, x + 0.5, y - 0.4, f"r{position % num_ranks}", fontsize=9.5, color=GREY)
        for rank in range(num_ranks):
            own = [position % NUM_EXAMPLES for position in range(rank, length, num_ranks)]
            text(axes, 15.0, y + 1.0 - 0.55 * rank, f"rank {rank}: {own}", fontsize=10, ha="left")
    text(axes, 8.2, 5.9, "the order of the epoch (here without shuffling), padded by its own start", fontsize=10)
    text(axes, 8.2, 0.2, "dashed: padding.  r1: read by rank 1.", fontsize=10)
    return figure


def buckets() -> Figure:
    """Draw the gradients of four Linear(8, 8) in float64, last first, in buckets of at most 600 and 1200 bytes."""
    figure, axes = blank(20, 6.8)
    members = [(f"{layer}.{kind}", size) for layer in (3, 2, 1, 0) for kind, size in (("bias", 64), ("weight", 512))]
    for row, cap in enumerate((600, 1200)):
        y, x, used, bucket = 4.2 - 2.9 * row, 2.2, 0, 0
        text(axes, 0.2, y + 0.5, f"cap {cap}", ha="left")
        for name, size in members:
            if used + size > cap:
                bucket, used, x = bucket + 1, 0, x + 0.3
            used += size
            width = size / 512 * 3.2
            axes.add_patch(Rectangle((x, y), width, 1.0, facecolor=RANK_TINTS[bucket], edgecolor=BLACK, linewidth=0.9))
            if name.endswith("weight"):
                text(axes, x + width / 2, y + 0.48, f"{name}, {size} B", fontsize=9.5)
            else:
                text(axes, x + width / 2, y + 1.3, name, fontsize=8.5)
            if name.endswith("weight") and (used + 576 > cap):
                text(axes, x + width / 2, y - 0.4, f"bucket {bucket}: {used} bytes", fontsize=9.5, color=GREY)
            x += width
    arrow(axes, (2.2, 6.35), (17.6, 6.35), color=GREY)
    text(
        axes, 9.9, 6.6, "the order in which backward completes gradients = reverse order of the parameters", fontsize=10
    )
    text(axes, 10, 0.3, "A bucket is complete, and may be launched, when the last gradient in it is.", fontsize=10)
    return figure


def overlap_model() -> dict[str, Any]:
    """Return the functions of the lesson's script of that name: the picture shows what the reader runs."""
    lesson = next(ASSIGNMENTS.glob("ch04_*")) / "README.md"
    source = re.search(
        r"^```python\n# python overlap_model\.py\n(.*?)^```$", lesson.read_text(), re.DOTALL | re.MULTILINE
    )
    assert source is not None, "The lesson has lost its script overlap_model.py."
    model: dict[str, Any] = {"__name__": "overlap_model"}
    exec(source[1], model)  # noqa: S102 - our own text
    return model


def overlap() -> Figure:
    """Draw forward, backward and the all-reduces of GPT-2's buckets on one time axis, without and with overlap."""
    model = overlap_model()
    ready = [seconds * MILLI for _, seconds in model["backward"](model["GPT2"])]
    backward_ms = ready[-1]
    forward_ms = backward_ms / 2
    alone = model["all_reduce"](4 * sum(model["GPT2"]), 8) * MILLI
    spans = [(start * MILLI, end * MILLI) for start, end in model["schedule"](8, 25 * MIB)]
    figure = Figure(figsize=(9.6, 4.0), layout="constrained")
    axes = figure.add_subplot()
    for row, reduced in ((3.0, [(backward_ms, backward_ms + alone)]), (0.5, spans)):
        _bar(axes, row + 0.9, 0, forward_ms, tint=RANK_TINTS[2], label="forward")
        _bar(axes, row + 0.9, forward_ms, backward_ms, tint=RANK_TINTS[0], label="backward")
        for index, (start, end) in enumerate(reduced):
            label = "all-reduce" if len(reduced) == 1 else "embedding" if index == len(reduced) - 1 else ""
            _bar(axes, row, forward_ms + start, end - start, tint=RANK_TINTS[1], label=label)
        done = forward_ms + reduced[-1][1]
        axes.plot([done, done], [row - 0.15, row + 1.85], color=RED, linewidth=1.6)
        axes.text(done + 0.7, row + 1.35, f"{done:.1f} ms", color="#A34700", va="center")
    middle = forward_ms + (spans[0][0] + spans[-2][1]) / 2
    axes.text(middle, 0.2, "other buckets, of at most 25 MiB", ha="center", va="center", fontsize=9.5)
    axes.set(xlim=(0, 92), ylim=(-0.1, 5.1), xlabel="milliseconds from the start of the step")
    axes.set_yticks([0.9, 1.8, 3.4, 4.3], ["network", "GPU, with overlap", "network", "GPU, without"])
    axes.spines[["left", "right", "top"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure


def _bar(axes: Axes, y: float, start: float, width: float, *, tint: str, label: str) -> None:
    """Draw one activity in time."""
    axes.add_patch(Rectangle((start, y), width, 0.8, facecolor=tint, edgecolor=BLACK, linewidth=0.7))
    axes.text(start + width / 2, y + 0.4, label, ha="center", va="center", fontsize=9.5)


def bucket_size() -> Figure:
    """Plot when the last all-reduce of GPT-2's gradients is done, over the bucket cap."""
    model = overlap_model()
    caps_mib = [2 ** (power / 4) for power in range(-2, 38)]
    figure = Figure(figsize=(8, 4.4), layout="constrained")
    axes = figure.add_subplot()
    for num_ranks, color, style in ((8, BLUE, "-"), (64, GREEN, "--"), (512, RED, ":")):
        done = [model["schedule"](num_ranks, cap * MIB)[-1][1] * MILLI for cap in caps_mib]
        axes.loglog(caps_mib, done, style, color=color, linewidth=2.2, label=f"{num_ranks} ranks")
        best = min(done)
        axes.plot([caps_mib[done.index(best)]], [best], "o", color=color, markersize=7)
    *_, (_, compute) = model["backward"](model["GPT2"])
    axes.axhline(compute * MILLI, color=GREY, linewidth=1.0)
    axes.text(0.75, compute * MILLI * 1.04, "backward alone", color=GREY, fontsize=9.5)
    axes.axvline(25, color=GREY, linewidth=0.8, linestyle="-.")
    axes.text(27, 1400, "PyTorch's default:\n25 MiB", color=GREY, fontsize=9.5, va="center")
    axes.set(xlabel="bucket cap, MiB", ylabel="milliseconds from the start of backward", ylim=(27, 2000))
    axes.set_title("GPT-2's gradients, last all-reduce done; dots: the best cap")
    axes.grid(visible=True, which="major", color="#DDDDDD", linewidth=0.7)
    axes.legend(frameon=False, loc="upper right")
    return figure


def batch_size() -> Figure:
    """Plot the steps and the examples that training takes over the batch size, in units of the noise scale."""
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.add_subplot()
    ratio = [10 ** (power / 20) for power in range(-40, 41)]
    axes.loglog(ratio, [1 + 1 / r for r in ratio], color=BLUE, linewidth=2.2, label="steps / fewest steps")
    axes.loglog(ratio, [1 + r for r in ratio], "--", color=RED, linewidth=2.2, label="examples / fewest examples")
    axes.plot([1], [2], "o", color=BLACK, markersize=7)
    axes.annotate("both doubled", (1, 2), (0, 24), textcoords="offset points", ha="center")
    axes.text(0.012, 1.25, "more ranks: fewer steps,\nsame examples", fontsize=9.5, color=GREY)
    axes.text(90, 1.25, "more ranks: same steps,\nmore examples", fontsize=9.5, color=GREY, ha="right")
    axes.set(xlabel=r"batch size / $B_\mathrm{noise}$", ylabel="times the minimum", xlim=(0.01, 100), ylim=(0.9, 120))
    axes.grid(visible=True, which="major", color="#DDDDDD", linewidth=0.7)
    axes.legend(frameon=False, loc="upper center")
    return figure


def sharding() -> Figure:
    """Draw which quarters of the model four ranks on two nodes hold under DDP, FSDP and HSDP."""
    figure, axes = blank(20, 7.4)
    held = {
        "DDP": [range(4)] * 4,
        "FSDP": [(rank,) for rank in range(4)],
        "HSDP, 2 nodes of 2": [(0, 1), (2, 3), (0, 1), (2, 3)],
    }
    for panel, (title, ranks) in enumerate(held.items()):
        left = 1.5 + 6.3 * panel
        text(axes, left + 2.4, 6.9, title, weight="bold")
        for node in range(2):
            box(axes, left - 0.1, 3.8 - 2.7 * node, 5.0, 2.55, tint="#F7F7F7", edge=GREY)
            for local in range(2):
                _shards(axes, left + 1.0, 5.15 - 2.7 * node - 1.2 * local, ranks[2 * node + local])
        if panel == 0:
            for node in range(2):
                text(axes, 0.7, 5.1 - 2.7 * node, f"node {node}", color=GREY, fontsize=9.5, rotation=90)
    text(
        axes,
        10,
        0.45,
        "rows: ranks 0 to 3;  columns: quarters of parameters, gradients and optimizer state",
        fontsize=10,
    )
    return figure


def _shards(axes: Axes, x: float, y: float, held: Sequence[int]) -> None:
    """Draw one rank's four places, filled where it holds that quarter."""
    for quarter in range(4):
        mine = quarter in held
        cell(
            axes,
            x + 0.85 * quarter,
            y,
            str(quarter) if mine else "",
            tint=RANK_TINTS[quarter] if mine else PAPER,
            side=0.8,
        )


if __name__ == "__main__":
    main("ch04", (data_parallel, sampler, buckets, overlap, bucket_size, batch_size, sharding))
