# ruff: noqa: INP001 - a script that is run by its path
"""Draw the figures of chapter 1: `python docs/figures/ch01.py [folder]`."""

import numpy as np
from drawing import BLACK, BLUE, EMPTY, GREEN, GREY, LABEL, ORANGE, RANK_TINTS, RED, main
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_env.gpt_config import GPT2_MEDIUM_345M, GPT2_SMALL, GPT3_175B, GPTConfig
from course_env.scaling import CHINCHILLA

WIDE = 0.1  # enough for words
NARROW = 2


def _shares(cfg: GPTConfig) -> list[float]:
    """Return the shares of embeddings, attention and feed-forward, with what little LayerNorms have."""
    h = cfg.d_model
    embeddings = (cfg.vocab_size + cfg.max_seq) * h
    attention = cfg.n_layer * (4 * h * h + 6 * h)
    feed_forward = cfg.n_layer * (2 * h * cfg.d_ff + cfg.d_ff + 3 * h) + 2 * h
    total = embeddings + attention + feed_forward
    return [part / total for part in (embeddings, attention, feed_forward)]


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def parameters() -> Figure:
    """Draw where the parameters of three models are."""
    figure = Figure(figsize=(7.6, 2.5), layout="constrained")
    axes = figure.add_subplot()
    models = {"GPT-2 small\n124 million": GPT2_SMALL, "GPT-2 medium\n355 million": GPT2_MEDIUM_345M}
    models["GPT-3\n175 billion"] = GPT3_175B
    for row, (name, cfg) in enumerate(reversed(models.items())):
        left = 0.0
        for share, tint, part in zip(
            _shares(cfg), RANK_TINTS, ("embeddings", "attention", "feed-forward"), strict=False
        ):
            axes.barh(row, share, left=left, color=tint, edgecolor=BLACK, linewidth=0.8, height=0.6)
            if share > WIDE:
                axes.text(left + share / 2, row, f"{part}\n{100 * share:.0f} %", ha="center", va="center", fontsize=9)
            else:
                axes.text(0, row - 0.44, f"{part} {100 * share:.1f} %", ha="left", va="center", fontsize=9)
            left += share
        axes.text(-0.01, row, name, ha="right", va="center")
    axes.set(xlim=(0, 1), ylim=(-0.6, 2.4), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    return figure


def attention_share() -> Figure:
    """Draw attention's share of a token's operations against the length of the sequence."""
    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    axes = figure.add_subplot()
    h, layers, vocab = GPT3_175B.d_model, GPT3_175B.n_layer, GPT3_175B.vocab_size
    lengths = np.logspace(9, 18, 200, base=2)
    core = 4 * layers * lengths * h
    shares = core / (core + 24 * layers * h * h + 2 * h * vocab)
    axes.plot(lengths, 100 * shares, color=BLUE, linewidth=2)
    axes.axvline(6 * h, color=GREY, linestyle="--", linewidth=1)
    axes.text(6 * h / 1.08, 88, "s = 6h: as much as\nall weights of the blocks", ha="right", va="center", bbox=LABEL)
    for length in (2048, 8192, 32768, 131072):
        share = 100 * np.interp(length, lengths, shares)
        axes.plot(length, share, "o", color=BLUE)
        axes.annotate(f"{share:.1f} %", (length, share), xytext=(-6, 7), textcoords="offset points", ha="right")
    axes.set_xscale("log", base=2)
    axes.set_xticks([2**k for k in range(9, 19)], [f"{2**k:,}" for k in range(9, 19)], fontsize=9)
    axes.set(ylim=(0, 100), ylabel="share of operations, %", xlabel="tokens in a sequence (96 layers, h = 12,288)")
    _plain(axes)
    return figure


def states() -> Figure:
    """Draw the bytes per parameter of five ways to train."""
    figure = Figure(figsize=(7.6, 3.3), layout="constrained")
    axes = figure.add_subplot()
    parts = ("parameter", "gradient", "master copy", "optimizer", "fp32 gradient")
    tints = (*RANK_TINTS, EMPTY)
    rows = {
        "Adam, fp16 + fp32 gradients": (2, 2, 4, 8, 4),
        "Adam, fp16 with fp32 master copy": (2, 2, 4, 8, 0),
        "Adam, fp32": (4, 4, 0, 8, 0),
        "momentum, fp32": (4, 4, 0, 4, 0),
        "Adam, bf16 only": (2, 2, 0, 4, 0),
    }
    for row, (name, sizes) in enumerate(reversed(rows.items())):
        left = 0
        for size, tint, part in zip(sizes, tints, parts, strict=True):
            if size:
                axes.barh(row, size, left=left, color=tint, edgecolor=BLACK, linewidth=0.8, height=0.66)
                axes.text(
                    left + size / 2,
                    row,
                    f"{part}\n{size}" if size > NARROW else f"{part[0]}\n{size}",
                    ha="center",
                    va="center",
                    fontsize=8,
                )
                left += size
        axes.text(left + 0.25, row, f"{left}", va="center", weight="bold")
        axes.text(-0.25, row, name, ha="right", va="center")
    axes.set(xlim=(0, 21), yticks=[], xticks=[])
    axes.set_xlabel("bytes per parameter (p: parameter, g: gradient)")
    axes.spines[:].set_visible(False)
    return figure


def budgets() -> Figure:
    """Draw the loss against the size of the model for some budgets, and the best size of each."""
    figure = Figure(figsize=(7.6, 4.2), layout="constrained")
    axes = figure.add_subplot()
    fit = CHINCHILLA
    sizes = np.logspace(8.5, 12.3, 300)
    best = []
    for budget, label in (
        (1e21, "1e21"),
        (1e22, "1e22"),
        (1e23, "1e23"),
        (5.76e23, "5.76e23"),
        (1e25, "1e25"),
    ):
        losses = fit.irreducible + fit.a / sizes**fit.alpha + fit.b / (budget / 6 / sizes) ** fit.beta
        kept = losses < losses.min() * 1.06
        axes.plot(sizes[kept], losses[kept], color=GREY, linewidth=1.4)
        axes.text(sizes[kept][-1] * 1.08, losses[kept][-1], label, fontsize=8.5, color=BLACK, ha="left", va="center")
        best.append((sizes[losses.argmin()], losses.min()))
    axes.plot(
        *zip(*best, strict=True), "o-", color=GREEN, linewidth=1.6, label="best size for a budget of so many operations"
    )
    known = {"Gopher": (280e9, 300e9, RED, "^"), "Chinchilla": (70e9, 1.4e12, ORANGE, "s")}
    for name, (n, d, colour, marker) in known.items():
        loss = fit.irreducible + fit.a / n**fit.alpha + fit.b / d**fit.beta
        axes.plot(n, loss, marker, color=colour, markersize=9, linestyle="none", label=f"{name}, {n / 1e9:.0f} billion")
    axes.axhline(fit.irreducible, color=BLACK, linestyle=":", linewidth=1)
    axes.text(sizes[0], fit.irreducible + 0.006, "irreducible: 1.69", fontsize=8.5, va="bottom")
    axes.set_xscale("log")
    axes.set(xlabel="parameters", ylabel="loss, nats per token", xlim=(2e8, 8e12), ylim=(1.66, 2.75))
    axes.legend(frameon=False, loc="upper right")
    _plain(axes)
    return figure


def roofline() -> Figure:
    """Draw what two accelerators can reach by the intensity of the work, and where five kinds of work stand."""
    figure = Figure(figsize=(7.6, 4.0), layout="constrained")
    axes = figure.add_subplot()
    intensities = np.logspace(-0.5, 4, 200)
    machines = {"A100": (312e12, 2.039e12, BLUE), "H100": (989e12, 3.35e12, GREEN)}
    for name, (peak, memory, colour) in machines.items():
        axes.plot(intensities, np.minimum(peak, intensities * memory) / 1e12, color=colour, linewidth=2)
        axes.text(9e3, peak / 1e12 / 1.15, f"{name}: {peak / 1e12:.0f} teraflop/s", ha="right", va="top", color=colour)
        ridge = peak / memory
        axes.plot([ridge, ridge], [0.3, peak / 1e12], color=colour, linestyle=":", linewidth=1)
        axes.text(
            ridge * (0.93 if name == "A100" else 1.07), 0.36, f"{ridge:.0f}", ha="right" if name == "A100" else "left"
        )
    h, f = 4096, 14336
    work = {
        "one token": h * f / (h + f + h * f),
        "LayerNorm": 2.0,
        "64 tokens": 64 * h * f / (64 * (h + f) + h * f),
        "scores of a head": 8192 * 128 / (2 * 128 + 8192),
        "8,192 tokens": 8192 * h * f / (8192 * (h + f) + h * f),
    }
    peak, memory, _ = machines["H100"]
    for name, intensity in work.items():
        reached = min(peak, intensity * memory) / 1e12
        axes.plot(intensity, reached, "o", color=BLACK)
        axes.annotate(name, (intensity, reached), xytext=(-4, 6), textcoords="offset points", ha="right", fontsize=9)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set(xlabel="operations a byte", ylabel="teraflop/s", xlim=(0.3, 1e4), ylim=(0.3, 2500))
    axes.set_yticks([1, 10, 100, 1000], ["1", "10", "100", "1,000"])
    axes.set_xticks([1, 10, 100, 1000, 10000], ["1", "10", "100", "1,000", "10,000"])
    _plain(axes)
    return figure


if __name__ == "__main__":
    main("ch01", (parameters, attention_share, roofline, states, budgets))
