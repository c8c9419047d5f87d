# ruff: noqa: INP001 - a script that is run by its path
"""Draw the figures of chapter 2: `python docs/figures/ch02.py [folder]`."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from drawing import (
    BLACK,
    BLUE,
    EMPTY,
    GREEN,
    GREY,
    LABEL,
    ORANGE,
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

NUM_RANKS = 4
LETTERS = "abcd"
SIDE, PITCH = 0.68, 0.85  # of the squares that stand for buffers


def processes() -> Figure:
    """Draw a launcher on each of two nodes, the ranks they start, and the store where all of them meet."""
    figure, axes = blank(20, 10.6)
    box(axes, 5.2, 8.7, 9.6, 1.6, tint=RANK_TINTS[2])
    text(axes, 10, 9.8, "the store: keys and values", weight="bold")
    text(axes, 10, 9.15, "at one address that everybody knows", fontsize=10)
    for node in range(2):
        left = 0.6 + 9.6 * node
        box(axes, left, 2.2, 9.2, 5.6, edge=GREY)
        text(axes, left + 1.0, 7.25, f"node {node}", color=GREY)
        box(axes, left + 2.4, 6.2, 4.4, 1.1, tint=RANK_TINTS[1])
        text(axes, left + 4.6, 6.75, "torchrun (a launcher)")
        text(axes, left + 4.6, 5.45, "starts\nand watches", fontsize=9.5, color=GREY)
        for local in range(2):
            x = left + 0.5 + 4.3 * local
            box(axes, x, 2.7, 3.9, 2.3, tint=RANK_TINTS[0])
            text(axes, x + 1.95, 4.5, f"RANK = {2 * node + local}", weight="bold")
            text(axes, x + 1.95, 3.85, f"LOCAL_RANK = {local}", fontsize=10)
            text(axes, x + 1.95, 3.25, "WORLD_SIZE = 4", fontsize=10)
            arrow(axes, (left + 3.3 + 2.6 * local, 6.2), (x + 1.95, 5.0))
        arrow(axes, (left + 4.6, 7.3), (10 + 2.4 * (2 * node - 1), 8.7), linestyle="--", color=GREEN)
    arrow(axes, (3.0, 2.7), (17.0, 2.7), bend=0.16, arrowstyle="<|-|>", color=BLUE)
    text(
        axes,
        10,
        0.4,
        "tensors travel from rank to rank, never through the store or a launcher",
        color=BLUE,
        fontsize=10,
    )
    text(axes, 17.2, 8.35, "agree on who is which\nrank, and where", fontsize=9.5, color="#00664B")
    return figure


def groups() -> Figure:
    """Draw eight ranks on two nodes and the groups that share a node, and those that share a place in it."""
    figure, axes = blank(18, 7.6)
    for node in range(2):
        y = 4.1 - 3.3 * node
        box(axes, 3.1, y - 0.3, 14.3, 2.2, tint="#E8F2F9", edge=BLUE)
        text(axes, 1.55, y + 0.8, f"node {node}\ngroup {list(range(4 * node, 4 * node + 4))}", color=BLUE, fontsize=10)
    for column in range(4):
        x = 4.0 + 3.5 * column
        patch = Rectangle((x - 0.25, 0.35), 2.5, 6.0, fill=False, edgecolor=RED, linewidth=1.8, linestyle="--")
        axes.add_patch(patch)
        text(axes, x + 1.0, 6.8, f"group {[column, column + 4]}", color="#A34700", fontsize=10)
        for node in range(2):
            y = 4.1 - 3.3 * node
            box(axes, x, y, 2.0, 1.6, tint=PAPER)
            text(axes, x + 1.0, y + 1.08, f"rank {4 * node + column}", weight="bold")
            text(axes, x + 1.0, y + 0.48, f"{column} | {node}", fontsize=10)
    text(axes, 9, 7.35, "under each global rank: its group rank in its node | in the dashed group", fontsize=10)
    return figure


def deadlock() -> Figure:
    """Draw two ranks in time: both send first and wait for ever; one receives first, and both finish."""
    figure, axes = blank(20, 7.4)
    for half, title in enumerate(("both send first: a deadlock", "one order reversed: done")):
        left = 0.6 + 10 * half
        text(axes, left + 4.9, 6.9, title, weight="bold")
        for rank in range(2):
            y = 4.9 - 2.4 * rank
            text(axes, left + 0.5, y + 0.55, f"rank {rank}", fontsize=10)
            arrow(axes, (left + 1.2, y - 0.25), (left + 9.0, y - 0.25), color=GREY, linewidth=0.9)
        text(axes, left + 8.6, 1.8, "time", fontsize=10, color=GREY)
    for rank in range(2):
        y = 4.9 - 2.4 * rank
        axes.add_patch(Rectangle((2.1, y), 7.0, 1.1, facecolor="#F7D4BF", edgecolor=RED, hatch="//", linewidth=1.2))
        text(axes, 5.6, y + 0.55, f"send(dst={1 - rank}) waits for a recv on rank {1 - rank}", bbox=LABEL, fontsize=10)
        for place in range(2):
            sends = place == rank
            words, tint = (
                (f"send(dst={1 - rank})", RANK_TINTS[0]) if sends else (f"recv(src={1 - rank})", RANK_TINTS[2])
            )
            axes.add_patch(Rectangle((12.1 + 3.5 * place, y), 3.1, 1.1, facecolor=tint, edgecolor=BLACK))
            text(axes, 13.65 + 3.5 * place, y + 0.55, words, fontsize=10)
    arrow(axes, (13.2, 4.9), (13.2, 3.6), color=BLUE)
    arrow(axes, (17.6, 3.6), (17.6, 4.9), color=BLUE)
    text(axes, 5.5, 0.8, "Neither rank reaches its recv.\nAfter the group's timeout both raise.", fontsize=10)
    text(axes, 15.5, 0.8, "Every send meets its recv,\nwhatever the size of the message.", fontsize=10)
    return figure


Cells = Sequence[Sequence[str]]


def collectives() -> Figure:
    """Draw what four ranks hold before and after each of the eight collectives; the first three rows are adjoint pairs."""
    own = [[letter] for letter in LETTERS]
    chunks = [[f"{letter}{chunk}" for chunk in range(NUM_RANKS)] for letter in LETTERS]
    nothing: list[list[str]] = [[] for _ in LETTERS]
    panels: list[tuple[str, Cells, Cells]] = [
        ("broadcast (src 0)", [["a"], [], [], []], [["a"]] * NUM_RANKS),
        ("reduce (dst 0)", own, [["Σ"], [], [], []]),
        ("scatter (src 0)", [chunks[0], *nothing[1:]], [[chunk] for chunk in chunks[0]]),
        ("gather (dst 0)", own, [list(LETTERS), *nothing[1:]]),
        ("all-gather", own, [list(LETTERS)] * NUM_RANKS),
        ("reduce-scatter", chunks, [[f"Σ{chunk}"] for chunk in range(NUM_RANKS)]),
        ("all-reduce", own, [["Σ"]] * NUM_RANKS),
        ("all-to-all", chunks, [[f"{letter}{rank}" for letter in LETTERS] for rank in range(NUM_RANKS)]),
    ]
    figure, axes = blank(17.2, 19.4)
    for index, (title, before, after) in enumerate(panels):
        left, bottom = 1.5 + 8.2 * (index % 2), 15.0 - 4.5 * (index // 2)
        text(axes, left + 3.4, bottom + 3.75, title, weight="bold")
        for rank in range(NUM_RANKS):
            text(axes, left - 0.4, bottom + PITCH * (NUM_RANKS - 1 - rank) + SIDE / 2, str(rank), color=GREY)
        _buffers(axes, left, bottom, before)
        arrow(axes, (left + 3.0, bottom + 1.6), (left + 3.75, bottom + 1.6))
        _buffers(axes, left + 3.95, bottom, after)
    words = "A row of squares is one rank, 0 to 3.  a2: chunk 2 of rank 0's buffer, b2: of rank 1's."
    text(axes, 8.6, 0.85, words, fontsize=10)
    text(axes, 8.6, 0.35, "Σ = a + b + c + d,  Σ2 = a2 + b2 + c2 + d2.  Grey: unused, or of no meaning.", fontsize=10)
    return figure


def _buffers(axes: Axes, left: float, bottom: float, ranks: Cells) -> None:
    """Draw one row of four squares per rank, rank 0 on top; what a rank does not hold is empty."""
    for rank, held in enumerate(ranks):
        for slot in range(NUM_RANKS):
            words = held[slot] if slot < len(held) else ""
            tint = EMPTY
            if words:
                tint = RANK_TINTS[LETTERS.index(words[0])] if words[0] in LETTERS else PAPER
            cell(axes, left + SIDE * slot, bottom + PITCH * (NUM_RANKS - 1 - rank), words, tint=tint, side=SIDE)


def ring() -> Figure:
    """Draw what every chunk of a ring of four holds after each step, and which chunk every rank sends next."""
    figure, axes = blank(19.4, 12.2)
    held = [[LETTERS[rank]] * NUM_RANKS for rank in range(NUM_RANKS)]
    num_steps = 2 * (NUM_RANKS - 1)
    for step in range(num_steps + 1):
        sends = _ring_sends(step)
        in_all_gather = step >= NUM_RANKS
        left, top = 1.7 + 4.5 * (step % NUM_RANKS), 4.7 if in_all_gather else 10.2
        text(axes, left + 1.9, top + 0.55, "at the start" if step == 0 else f"after step {step}", fontsize=10)
        for rank in range(NUM_RANKS):
            y = top - 0.85 * (rank + 1)
            if step % NUM_RANKS == 0:
                text(axes, 0.8, y + 0.3, f"rank {rank}", fontsize=10)
            for chunk in range(NUM_RANKS):
                _ring_cell(axes, left + 0.95 * chunk, y, held[rank][chunk], rank, sent=sends.get(rank) == chunk)
        held = _ring_receive(held, sends)
    text(axes, 1.7, 11.6, "reduce-scatter: every rank adds what it receives to its own share", color=BLUE, ha="left")
    text(axes, 1.7, 6.1, "all-gather: every rank stores what it receives", color="#00664B", ha="left")
    axes.add_patch(Rectangle((15.4, 3.3), 0.9, 0.62, facecolor=RANK_TINTS[0], edgecolor=RED, linewidth=2.6))
    legend = "sent to the next rank\nin the coming step\n(rank 3 sends to rank 0)"
    text(axes, 15.4, 2.45, legend, fontsize=9.5, ha="left")
    text(axes, 9.7, 0.65, "a to d: the shares of ranks 0 to 3, in the order of summation.  Σ: complete.", fontsize=10)
    return figure


def _ring_sends(step: int) -> dict[int, int]:
    """Return rank -> chunk it sends in the step after the first `step`: 3 of reduce-scatter, 3 of all-gather."""
    num_steps = NUM_RANKS - 1
    if step < num_steps:
        return {rank: (rank - step - 1) % NUM_RANKS for rank in range(NUM_RANKS)}
    if step < 2 * num_steps:
        return {rank: (rank - (step - num_steps)) % NUM_RANKS for rank in range(NUM_RANKS)}
    return {}


def _ring_receive(held: list[list[str]], sends: dict[int, int]) -> list[list[str]]:
    """Return what all ranks hold after one step in which rank r sent chunk sends[r] to rank r + 1."""
    after = [list(chunks) for chunks in held]
    for rank, chunk in sends.items():
        neighbour = (rank + 1) % NUM_RANKS
        whole = len(held[rank][chunk]) == NUM_RANKS
        after[neighbour][chunk] = held[rank][chunk] + ("" if whole else LETTERS[neighbour])
    return after


def _ring_cell(axes: Axes, x: float, y: float, shares: str, rank: int, *, sent: bool) -> None:
    """Draw one chunk: the ranks whose shares it sums up."""
    whole = len(shares) == NUM_RANKS
    tint = PAPER if whole else RANK_TINTS[rank] if len(shares) == 1 else "#FBF3C4"
    frame: dict[str, Any] = (
        {"edgecolor": RED, "linewidth": 2.6, "zorder": 3} if sent else {"edgecolor": BLACK, "linewidth": 0.8}
    )
    axes.add_patch(Rectangle((x, y), 0.9, 0.62, facecolor=tint, **frame))
    text(axes, x + 0.45, y + 0.29, "Σ" if whole else shares, fontsize=10, zorder=4)


def tree() -> Figure:
    """Draw the rounds of a binomial-tree broadcast from rank 0 over eight ranks and over five."""
    figure, axes = blank(20, 9.0)
    for half, num_ranks in enumerate((8, 5)):
        left, pitch = 2.0 + 11.8 * half, 1.15
        text(axes, left + pitch * (num_ranks - 1) / 2, 8.5, f"N = {num_ranks}", weight="bold")
        rounds = math.ceil(math.log2(num_ranks))
        for line in range(rounds + 1):
            y = 7.2 - 2.0 * line
            reached = min(2**line, num_ranks)
            for rank in range(num_ranks):
                _rank_dot(axes, left + pitch * rank, y, rank, has_data=rank < reached)
            if line < rounds:
                text(axes, left - 1.1, y - 1.0, f"round {line}", fontsize=9.5, color=GREY)
                for rank in range(min(reached, num_ranks - reached)):
                    start, end = left + pitch * rank, left + pitch * (rank + reached)
                    arrow(axes, (start + 0.1, y - 0.42), (end - 0.12, y - 1.56), color=BLUE)
    text(axes, 10, 0.3, "Filled: holds the data.  Arrow: one message of the round.", fontsize=10)
    return figure


def _rank_dot(axes: Axes, x: float, y: float, rank: int, *, has_data: bool) -> None:
    tint, ink = (BLUE, PAPER) if has_data else (PAPER, BLACK)
    text(axes, x, y, str(rank), color=ink, fontsize=10, bbox={"boxstyle": "circle,pad=0.3", "fc": tint, "ec": BLACK})


def cost() -> Figure:
    """Plot the time of three all-reduces over the size of the buffer, and mark where the ring takes the lead."""
    num_ranks, alpha, beta = 8, 1e-5, 4e-11
    times: dict[str, tuple[Callable[[float], float], str, str]] = {
        "tree: reduce, then broadcast": (lambda size: 6 * (alpha + beta * size), RED, ":"),
        "recursive doubling": (lambda size: 3 * (alpha + beta * size), ORANGE, "--"),
        "ring": (lambda size: 14 * (alpha + beta * size / num_ranks), BLUE, "-"),
    }
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    axes = figure.add_subplot()
    sizes = [10 ** (3 + step / 20) for step in range(121)]
    for name, (time_s, color, style) in times.items():
        axes.loglog(sizes, [time_s(size) for size in sizes], style, color=color, linewidth=2.2, label=name)
    floor = [max(3 * alpha, 1.75 * beta * size) for size in sizes]
    axes.loglog(sizes, floor, color=GREY, linewidth=1.0, label=r"lower bound: $3\alpha$ and $1.75\,\beta S$")
    crossing = 8.8 * alpha / beta
    axes.plot([crossing], [3 * (alpha + beta * crossing)], "o", color=BLACK, markersize=7)
    axes.annotate("2.2 MB", (crossing, 3 * (alpha + beta * crossing)), (8, -16), textcoords="offset points")
    axes.set(xlabel="buffer of one rank, bytes", ylabel="seconds", xlim=(1e3, 1e9))
    axes.set_title(r"All-reduce over 8 ranks, $\alpha$ = 10 µs, $1/\beta$ = 25 GB/s")
    axes.grid(visible=True, which="major", color="#DDDDDD", linewidth=0.7)
    axes.legend(frameon=False, loc="upper left")
    return figure


if __name__ == "__main__":
    main("ch02", (processes, groups, deadlock, collectives, ring, tree, cost))
