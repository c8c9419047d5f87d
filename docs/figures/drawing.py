# ruff: noqa: INP001 - imported by the scripts beside it, which are run by their paths
"""What the figures of all chapters share: colours, fonts, shapes, and a script's main function.

The files are the same to the byte on every run with the same matplotlib, so a diff shows what changed.
Every picture says by letters and positions what it says by colours, and stands on its own white ground.
"""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

ASSIGNMENTS = Path(__file__).parents[2] / "assignments"

# Okabe and Ito's palette, told apart by colour-blind readers. Light tints carry black letters.
BLUE, ORANGE, GREEN, RED, GREY, BLACK = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#767676", "#222222"
RANK_TINTS = ("#9CC9E5", "#F6CF7F", "#8FD3BC", "#E9BCD3")
EMPTY, PAPER = "#F2F2F2", "#FFFFFF"
LABEL = {"facecolor": PAPER, "edgecolor": "none", "pad": 1.5}

mpl.use("svg")
mpl.rcParams.update(
    {
        "font.family": "DejaVu Sans",  # comes with matplotlib
        "font.size": 11,
        "axes.titlesize": 12,
        "figure.facecolor": PAPER,
    }
)


def blank(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a figure whose one drawing area has no axes, one unit to 0.5 inch, origin at the lower left."""
    figure = Figure(figsize=(width / 2, height / 2))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    return figure, axes


def text(axes: Axes, x: float, y: float, words: str, **style: Any) -> None:
    """Write `words` centred on a point, in black unless `style` says otherwise."""
    axes.text(x, y, words, **({"ha": "center", "va": "center", "color": BLACK} | style))


def cell(axes: Axes, x: float, y: float, words: str = "", *, tint: str = EMPTY, side: float = 1.0) -> None:
    """Draw one square of a buffer, its lower left corner at (x, y)."""
    edge: dict[str, Any] = (
        {"edgecolor": BLACK, "linewidth": 0.9} if words else {"edgecolor": "#CCCCCC", "linewidth": 0.6}
    )
    axes.add_patch(Rectangle((x, y), side, side, facecolor=tint, **edge))
    text(axes, x + side / 2, y + side / 2 - 0.03, words, fontsize=10)


def box(axes: Axes, x: float, y: float, width: float, height: float, *, tint: str = PAPER, edge: str = BLACK) -> None:
    """Draw a rounded box, its lower left corner at (x, y)."""
    style = "round,pad=0,rounding_size=0.18"
    patch = FancyBboxPatch((x, y), width, height, boxstyle=style, facecolor=tint, edgecolor=edge, linewidth=1.2)
    axes.add_patch(patch)


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], *, bend: float = 0.0, **style: Any) -> None:
    """Draw an arrow between two points; `bend` is its curvature."""
    looks: dict[str, Any] = {
        "arrowstyle": "-|>",
        "mutation_scale": 12,
        "color": BLACK,
        "linewidth": 1.3,
        "shrinkA": 1,
        "shrinkB": 1,
    }
    axes.add_patch(FancyArrowPatch(start, end, connectionstyle=f"arc3,rad={bend}", **(looks | style)))


def draw_all(chapter: str, drawings: Iterable[Callable[[], Figure]], folder: Path) -> list[Path]:
    """Draw every figure of a chapter into `folder` and return the files, each named after its function."""
    mpl.rcParams["svg.hashsalt"] = chapter  # the ids in the file are random without it
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for drawing in drawings:
        path = folder / f"{drawing.__name__}.svg"
        drawing().savefig(path, metadata={"Date": None})  # a date would change the file on every run
        files.append(path)
    return files


def main(chapter: str, drawings: Iterable[Callable[[], Figure]]) -> None:
    """Draw a chapter's figures into the folder given on the command line, or else where its lesson looks for them."""
    (lesson,) = ASSIGNMENTS.glob(f"{chapter}_*")
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else lesson / "figures"
    for file in draw_all(chapter, drawings, folder):
        print(file)
