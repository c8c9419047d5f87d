# ruff: noqa: INP001 - a script that is run by its path
"""Draw the figures of chapter 3: `python docs/figures/ch03.py [folder]`."""

from drawing import BLACK, EMPTY, GREY, RANK_TINTS, arrow, blank, main, text
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

STAGES = 4
COPIES, SLICES = 2, 4
MICRO_BATCHES = 4
FORWARD, BACKWARD = 1, 2  # turns that a pass takes
GB = 1e9


def grid() -> Figure:
    """Draw 32 ranks by stage, copy and slice."""
    figure, axes = blank(20.5, 7.4)
    for stage in range(STAGES):
        left = 1.6 + 4.8 * stage
        text(axes, left + 1.9, 6.9, f"stage {stage}", weight="bold")
        for copy in range(COPIES):
            top = 5.6 - 2.6 * copy
            for piece in range(SLICES):
                rank = piece + SLICES * (copy + COPIES * stage)
                _box(axes, left + 0.95 * piece, top - 1.1, str(rank), tint=RANK_TINTS[stage])
            if stage == 0:
                text(axes, 0.75, top - 0.55, f"copy {copy}")
            if stage < STAGES - 1:
                arrow(axes, (left + 3.85, top - 0.55), (left + 4.75, top - 0.55))
        arrow(axes, (left + 0.47, 4.45), (left + 0.47, 3.05), arrowstyle="<|-|>")
    text(axes, 10.2, 1.25, "a row of four: tensor-parallel ranks of one node; across: a pipeline;")
    text(axes, 10.2, 0.55, "up and down: the same part of the model in two copies, which average gradients")
    return figure


def _box(axes: Axes, x: float, y: float, words: str, *, tint: str) -> None:
    axes.add_patch(Rectangle((x, y), 0.95, 1.1, facecolor=tint, edgecolor=BLACK, linewidth=0.9))
    text(axes, x + 0.95 / 2, y + 1.1 / 2, words, fontsize=10)


def timeline() -> Figure:
    """Draw four stages with one micro-batch at a time, and with four that follow each other."""
    figure, axes = blank(21.5, 11.2)
    text(axes, 0.3, 10.8, "one batch, no pipelining: each stage works a quarter of the time", ha="left", weight="bold")
    whole = [(stage, stage * 4, 4, "F") for stage in range(STAGES)]
    whole += [(stage, 16 + (STAGES - 1 - stage) * 8, 8, "B") for stage in range(STAGES)]
    _lanes(axes, 6.6, 48)
    for stage, start, length, words in whole:
        _pass(axes, (6.6, stage), (start, length), words, tint=RANK_TINTS[words == "B"])
    text(axes, 0.3, 5.3, "the same batch as four micro-batches: 4/7 of the time", ha="left", weight="bold")
    _lanes(axes, 1.1, 48)
    turn = (MICRO_BATCHES + STAGES - 1) * FORWARD
    for stage in range(STAGES):
        for i in range(MICRO_BATCHES):
            _pass(axes, (1.1, stage), ((stage + i) * FORWARD, FORWARD), str(i), tint=RANK_TINTS[0])
            start = turn + (STAGES - 1 - stage + i) * BACKWARD
            _pass(axes, (1.1, stage), (start, BACKWARD), str(i), tint=RANK_TINTS[1])
    text(axes, 10.9, 0.4, "time → (blue: forward, orange: backward, twice as long; grey: the bubble)")
    return figure


def _lanes(axes: Axes, bottom: float, turns: float) -> None:
    for stage in range(STAGES):
        y = bottom + 0.9 * (STAGES - 1 - stage)
        text(axes, 0.95, y + 0.4, f"stage {stage}", fontsize=10)
        length = 0.4 * (turns if bottom > STAGES else (MICRO_BATCHES + STAGES - 1) * (FORWARD + BACKWARD))
        axes.add_patch(Rectangle((2, y), length, 0.8, facecolor=EMPTY, edgecolor=GREY, linewidth=0.4))


def _pass(axes: Axes, lane: tuple[float, int], span: tuple[float, float], words: str, *, tint: str) -> None:
    (bottom, stage), (start, length) = lane, span
    y = bottom + 0.9 * (STAGES - 1 - stage)
    axes.add_patch(Rectangle((2 + 0.4 * start, y), 0.4 * length, 0.8, facecolor=tint, edgecolor=BLACK, linewidth=0.7))
    text(axes, 2 + 0.4 * (start + length / 2), y + 0.38, words, fontsize=8)


def split_mlp() -> Figure:
    """Draw up and down, split over two ranks, with what is sent before and behind them, without and with sequence parallelism."""
    figure, axes = blank(21.5, 11.4)
    rows = (
        (5.9, "tensor parallelism", ("", "all-reduce"), ("all-reduce", ""), ("x: all tokens", "sum: all tokens")),
        (
            *(0.1, "and sequence parallelism", ("all-gather", "reduce-scatter")),
            *(("reduce-scatter, all-gather of x", "all-gather"), ("x: its tokens", "sum: its tokens")),
        ),
    )
    for bottom, title, forward, backward, ends in rows:
        text(axes, 0.3, bottom + 5.1, title, ha="left", weight="bold")
        for rank in range(2):
            y = bottom + 3.0 - 1.5 * rank
            text(axes, 0.3, y + 0.5, f"rank {rank}", ha="left", fontsize=10)
            for x, width, words in (
                *((1.8, 3.0, ends[0]), (7.6, 1.9, "up"), (9.9, 1.6, "GELU")),
                *((11.9, 1.9, "down"), (17.4, 3.4, ends[1])),
            ):
                tint = EMPTY if words in ends or words == "GELU" else RANK_TINTS[rank]
                axes.add_patch(Rectangle((x, y), width, 1.0, facecolor=tint, edgecolor=BLACK, linewidth=0.9))
                text(axes, x + width / 2, y + 0.5, words, fontsize=9)
            for start, end in ((4.85, 7.55), (9.5, 9.9), (11.5, 11.9), (13.85, 17.35)):
                arrow(axes, (start, y + 0.5), (end, y + 0.5))
        for x, above, below in ((6.2, forward[0], backward[0]), (15.6, forward[1], backward[1])):
            text(axes, x, bottom + 4.4, f"forward: {above}" if above else "forward: nothing", fontsize=9)
            text(axes, x, bottom + 0.95, f"backward: {below}" if below else "backward: nothing", fontsize=9)
    return figure


def memory() -> Figure:
    """Draw what a GPU of each pipeline stage holds of GPT-3 on 1,024 GPUs."""
    figure = Figure(figsize=(7.6, 3.4), layout="constrained")
    axes = figure.add_subplot()
    # tp 8, pp 8, dp 16, ZeRO 1, sequence parallelism, selective recomputation: section 5's formulas
    h, seq, stages, layers, tp, dp = 12288, 2048, 8, 96, 8, 16
    block = 12 * h * h // tp + (3 * h + 4 * h) // tp + 6 * h
    vocabulary = -(-50257 // tp) * h
    parts = ("parameters", "gradients", "optimizer", "activations")
    for stage in range(stages):
        n = layers // stages * block + (vocabulary + seq * h if stage == 0 else 0)
        n += vocabulary + 2 * h if stage == stages - 1 else 0
        kept = 34 * seq * h // tp * layers // stages * (stages - stage)
        bottom = 0.0
        for size, tint, part in zip((2 * n, 2 * n, 12 * n / dp, kept), RANK_TINTS, parts, strict=True):
            label = part if stage == 0 else None
            axes.bar(
                stage, size / GB, bottom=bottom, color=tint, edgecolor=BLACK, linewidth=0.7, label=label, width=0.7
            )
            bottom += size / GB
        text(axes, stage, bottom + 0.8, f"{bottom:.1f}", fontsize=9)
    axes.set(xlabel="pipeline stage", ylabel="GB per GPU", xticks=range(stages), ylim=(0, 29))
    axes.legend(frameon=False, ncols=4, loc="upper center", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    main("ch03", (grid, timeline, split_mlp, memory))
