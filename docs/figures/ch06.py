# ruff: noqa: INP001 - a script that is run by its path
"""Draw the figures of chapter 6: `python docs/figures/ch06.py [folder]`."""

from drawing import BLACK, BLUE, EMPTY, GREY, PAPER, RANK_TINTS, arrow, blank, box, main, text
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

DARK_RED = "#A34700"  # of letters; the palette's red is too light for them
TYPE_TINTS = {"R": "#D8E8F4", "I": "#E4E4E4", "V": RANK_TINTS[1], "P": RANK_TINTS[3]}
RANKS = 4


def _matrix(axes: Axes, x: float, y: float, size: tuple[float, float], parts: int, *, cut: str, name: str) -> None:
    """Draw a matrix with its lower left corner at (x, y), in parts tinted by rank; cut is "columns", "rows" or ""."""
    width, height = size
    for part in range(parts if cut else 1):
        step_x = width / parts if cut == "columns" else 0.0
        step_y = height / parts if cut == "rows" else 0.0
        corner = (x + part * step_x, y + height - (part + 1) * step_y if cut == "rows" else y)
        tint = RANK_TINTS[part] if cut else EMPTY
        axes.add_patch(
            Rectangle(corner, step_x or width, step_y or height, facecolor=tint, edgecolor=BLACK, linewidth=0.9)
        )
        if cut:
            text(axes, corner[0] + (step_x or width) / 2, corner[1] + (step_y or height) / 2, str(part), fontsize=10)
    text(axes, x + width / 2, y + height + 0.4, name, weight="bold", fontsize=11)


def cuts() -> Figure:
    """Draw a product with the matrix cut by columns, and one with it cut by rows."""
    figure, axes = blank(20, 10.4)
    for row, (cut, words) in enumerate((("columns", "by columns"), ("rows", "by rows"))):
        y = 6.0 - 4.7 * row
        text(axes, 0.3, y + 1.6, words, ha="left", weight="bold")
        _matrix(axes, 3.6, y + 0.6, (4.0, 2.0), 2, cut="" if cut == "columns" else "columns", name="X")
        text(axes, 8.1, y + 1.6, "·", fontsize=16)
        _matrix(axes, 8.6, y - 0.2, (2.0, 3.6), 2, cut=cut, name="A")
        text(axes, 11.2, y + 1.6, "=", fontsize=14)
        if cut == "columns":
            _matrix(axes, 11.8, y + 0.6, (2.0, 2.0), 2, cut="columns", name="Y")
            text(axes, 16.9, y + 1.6, "each rank: some columns of Y\nX replicated, Y varying", fontsize=10.5)
        else:
            for part in range(2):
                left = 11.8 + 2.6 * part
                axes.add_patch(
                    Rectangle((left, y + 0.6), 2.0, 2.0, facecolor=RANK_TINTS[part], edgecolor=BLACK, linewidth=0.9)
                )
                text(axes, left + 1.0, y + 1.6, str(part), fontsize=10)
            text(axes, 14.1, y + 1.6, "+", fontsize=14)
            text(axes, 12.8, y + 3.0, "a summand", fontsize=10)
            text(axes, 18.3, y + 1.6, "each rank:\na summand of Y\nX varying, Y partial", fontsize=10.5)
    text(
        axes,
        10,
        0.4,
        "0 and 1: the parts of rank 0 and rank 1. Grey: whole on every rank.",
        fontsize=10,
        color="#555555",
    )
    return figure


def types() -> Figure:
    """Draw the four types and the casts between them."""
    figure, axes = blank(19, 11)
    corners = {"I": (1.0, 7.0), "R": (13.0, 7.0), "P": (1.0, 1.6), "V": (13.0, 1.6)}
    words = {
        "I": "invariant\none value, one computation",
        "R": "replicated\none value, a use on each rank",
        "P": "partial\nthe sum is meant",
        "V": "varying\na value on each rank",
    }
    for name, (x, y) in corners.items():
        box(axes, x, y, 5.0, 2.2, tint=TYPE_TINTS[name])
        text(axes, x + 2.5, y + 1.6, f"{name}", weight="bold", fontsize=13)
        text(axes, x + 2.5, y + 0.75, words[name], fontsize=10)
    casts = (
        ((6.0, 8.5), (13.0, 8.5), (9.5, 8.95), "f: nothing"),
        ((2.6, 3.8), (2.6, 7.0), (2.3, 5.4), "g: all-reduce"),
        ((13.0, 3.4), (6.0, 7.2), (8.0, 6.55), "all-gather"),
        ((6.0, 7.0), (13.0, 3.2), (11.0, 3.55), "own part"),
        ((15.5, 3.8), (15.5, 7.0), (15.8, 5.4), "all-gather"),
        ((6.0, 2.4), (13.0, 2.4), (9.5, 1.95), "reduce-scatter"),
    )
    for start, end, place, label in casts:
        arrow(axes, start, end, linewidth=1.6)
        vertical = start[0] == end[0]
        align = "center" if not vertical else "right" if place[0] < start[0] else "left"
        text(axes, *place, label, fontsize=10.5, ha=align, bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1.0})
    text(
        axes,
        9.5,
        10.4,
        "Casts, forward. Gradients: R and P change places, I and V stay, arrows turn round.",
        weight="bold",
    )
    text(
        axes,
        9.5,
        0.6,
        "So f backward is P → I, an all-reduce; g backward is I → R, nothing; reduce-scatter backward is V → R, an all-gather.",
        fontsize=10,
        color="#555555",
    )
    return figure


def _flow(axes: Axes, y: float, steps: list[tuple[str, str, str]], *, width: float = 2.55, gap: float = 0.42) -> None:
    """Draw tensors and operations from left to right; a step is (words, type or "", size under it)."""
    x = 0.3
    for number, (words, kind, size) in enumerate(steps):
        here = width if kind else width * 0.82
        if kind:
            box(axes, x, y, here, 1.5, tint=TYPE_TINTS[kind])
            text(axes, x + here / 2, y + 0.98, words, fontsize=10)
            text(axes, x + here / 2, y + 0.4, kind, weight="bold", fontsize=10)
            text(axes, x + here / 2, y - 0.35, size, fontsize=9.5, color="#555555")
        else:
            text(axes, x + here / 2, y + 0.75, words, fontsize=10, color=DARK_RED, weight="bold")
            text(axes, x + here / 2, y - 0.35, size, fontsize=9.5, color=DARK_RED)
        if number < len(steps) - 1:
            arrow(axes, (x + here, y + 0.75), (x + here + gap, y + 0.75))
        x += here + gap


def mlp() -> Figure:
    """Draw the naive parallel MLP beside Megatron's."""
    figure, axes = blank(25.6, 8.4)
    text(axes, 0.3, 7.7, "Naive: each layer hands on whole tensors", ha="left", weight="bold")
    naive = [
        ("X", "I", "S"),
        ("f", "", "back: 2 S"),
        ("XA, GELU", "V", "4 S / N"),
        ("all-gather", "", "4 S"),
        ("whole", "I", "4 S"),
        ("cut", "", "back: 4 S"),
        ("· B", "P", "S"),
        ("g", "", "2 S"),
        ("Y", "I", "S"),
    ]
    _flow(axes, 5.3, naive)
    text(axes, 0.3, 3.6, "Megatron's: the hidden layer stays cut", ha="left", weight="bold")
    better = [
        ("X", "I", "S"),
        ("f", "", "back: 2 S"),
        ("XA, GELU", "V", "4 S / N"),
        ("· B", "P", "S"),
        ("g", "", "2 S"),
        ("Y", "I", "S"),
    ]
    _flow(axes, 1.2, better)
    text(
        axes,
        25.3,
        2.0,
        "Black below: bytes held by a rank.\nRed: bytes sent, times (N - 1) / N,\nforward, or backward where it says so.",
        ha="right",
        fontsize=10,
    )
    return figure


def loss() -> Figure:
    """Draw how ranks reduce their columns of the logits to three numbers per token."""
    figure, axes = blank(20, 8.2)
    for rank in range(RANKS):
        x = 0.6 + 3.1 * rank
        axes.add_patch(Rectangle((x, 3.4), 3.0, 3.2, facecolor=RANK_TINTS[rank], edgecolor=BLACK, linewidth=0.9))
        text(axes, x + 1.5, 6.95, f"rank {rank}", weight="bold", fontsize=10.5)
        text(axes, x + 1.5, 5.0, "b s · V / N\nlogits", fontsize=10.5)
        arrow(axes, (x + 1.5, 3.4), (x + 1.5, 2.5), color=BLUE)
    box(axes, 0.6, 0.6, 12.3, 1.9, tint=PAPER, edge=BLUE)
    text(
        axes,
        6.75,
        1.55,
        "all-reduce of b s numbers each:\nthe maximum, the sum of exp(z - m), the target's z - m",
        fontsize=10.5,
    )
    arrow(axes, (12.9, 1.55), (14.2, 1.55), color=BLUE)
    text(axes, 16.9, 1.55, "loss of each token,\nthe same on all ranks", fontsize=10.5)
    text(axes, 16.8, 5.6, "backward, on each rank alone:", weight="bold", fontsize=10.5)
    text(axes, 16.8, 4.6, "exp(z - m) / sum\n- 1 on the rank\nthat has the target", fontsize=10.5)
    text(axes, 0.6, 7.75, "One token needs three numbers of the other ranks, whatever V is.", ha="left", weight="bold")
    return figure


def sequence() -> Figure:
    """Draw a layer with f and g, and the same with sequence parallelism."""
    figure, axes = blank(25.6, 8.8)
    text(axes, 0.3, 8.1, "Tensor parallelism alone", ha="left", weight="bold")
    _flow(
        axes,
        5.7,
        [
            ("x, norm", "I", "all tokens"),
            ("f", "", "back: all-reduce"),
            ("heads", "V", "all tokens"),
            ("· B", "P", "all tokens"),
            ("g", "", "all-reduce"),
            ("+ x, norm", "I", "all tokens"),
            ("f", "", "back: all-reduce"),
            ("hidden", "V", "all tokens"),
        ],
    )
    text(axes, 0.3, 3.9, "With sequence parallelism", ha="left", weight="bold")
    _flow(
        axes,
        1.5,
        [
            ("x, norm", "V", "s / N tokens"),
            ("all-gather", "", "back: r.-scatter"),
            ("heads", "V", "all tokens"),
            ("· B", "P", "all tokens"),
            ("r.-scatter", "", "back: all-gather"),
            ("+ x, norm", "V", "s / N tokens"),
            ("all-gather", "", "back: r.-scatter"),
            ("hidden", "V", "all tokens"),
        ],
    )
    words = "The same bytes; norms, residual sums and dropouts take 1 / N of the memory. Gradients of the norms' parameters become partial."
    text(axes, 0.3, 0.3, words, ha="left", fontsize=10, color="#555555")
    return figure


def zigzag() -> Figure:
    """Draw which rank computes which part of a causal mask, contiguous and in a zigzag."""
    figure, axes = blank(21, 11.4)
    side = 1.05
    for panel, layout in enumerate(("contiguous", "zigzag")):
        left, bottom = 1.4 + 10.2 * panel, 1.6
        text(axes, left + 4 * side, 10.8, layout, weight="bold")
        for row in range(2 * RANKS):
            rank = row // 2 if layout == "contiguous" else min(row, 2 * RANKS - 1 - row)
            y = bottom + (2 * RANKS - 1 - row) * side
            text(axes, left - 0.55, y + side / 2, f"rank {rank}" if panel == 0 else str(rank), fontsize=10)
            for column in range(2 * RANKS):
                seen = column <= row
                patch = Rectangle(
                    (left + column * side, y),
                    side,
                    side,
                    facecolor=RANK_TINTS[rank] if seen else PAPER,
                    edgecolor="#AAAAAA",
                    linewidth=0.7,
                )
                axes.add_patch(patch)
                if seen:
                    label = f"{rank}" if column < row else "½"
                    text(axes, left + (column + 0.5) * side, y + side / 2, label, fontsize=9.5)
        work = [4 * rank + 2 if layout == "contiguous" else 2 * RANKS for rank in range(RANKS)]
        text(axes, left + 4 * side, 1.1, "blocks of ranks 0 to 3: " + ", ".join(map(str, work)), fontsize=10.5)
    text(
        axes,
        10.5,
        0.4,
        "Rows: queries, an eighth of the sequence each. Columns: keys. White: hidden by the mask; ½: half of it.",
        fontsize=10,
        color=GREY,
    )
    return figure


if __name__ == "__main__":
    main("ch06", (cuts, types, mlp, loss, sequence, zigzag))
