"""Tensor by tensor, and block by block."""

from typing import Literal

from course_env.gpt_config import GPTConfig
from course_env.layout import Layout, MemReport


def activation_bytes_per_layer(
    s: int,
    b: int,
    h: int,
    a: int,
    t: int = 1,
    *,
    k: int | None = None,
    f: int | None = None,
    sequence_parallel: bool = False,
    recompute: Literal["none", "selective", "full"] = "none",
) -> int:
    """Return the bytes of activations that one rank keeps of one transformer layer for the backward pass of one micro-batch."""
    k, f = a if k is None else k, 4 * h if f is None else f
    if min(s, b, h, a, t, k, f) < 1 or h % a or a % k or k % t or f % t:
        raise ValueError("sizes")
    if sequence_parallel and (t == 1 or s % t):
        raise ValueError("sequence_parallel")
    d = h // a
    between = {"norms": 4 * h, "inputs": 4 * h, "masks": 2 * h}
    inside = {"q": 2 * h, "k": 2 * k * d, "v": 2 * k * d, "mixed": 2 * h, "up": 2 * f, "gelu": 2 * f}
    if recompute == "none":
        inside["scores"] = 5 * a * s
    elif recompute == "full":
        between, inside = {"input": 2 * h}, {}
    elif recompute != "selective":
        raise ValueError(recompute)
    whole = s * b * sum(between.values())
    return (whole // t if sequence_parallel else whole) + s * b * sum(inside.values()) // t


def zero_bytes(n_params: int, dp: int, zero: int, *, unit: int = 0) -> tuple[int, int, int]:
    """Return the most bytes of (parameters, gradients, optimizer states) that one of `dp` data-parallel ranks holds in a step."""
    if n_params < 0 or dp < 1 or zero not in range(4) or unit < 0 or unit > n_params:
        raise ValueError("sizes")
    if dp == 1:
        return 2 * n_params, 2 * n_params, 12 * n_params
    piece = (n_params + dp - 1) // dp
    return (
        2 * (piece + unit) if zero == 3 else 2 * n_params,
        2 * (piece + unit) if zero in (2, 3) else 2 * n_params,
        12 * piece if zero else 12 * n_params,
    )


def memory_per_gpu(cfg: GPTConfig, layout: Layout, stage: int = 0) -> MemReport:
    """Return what one accelerator of a pipeline stage holds, for sequences of cfg.max_seq tokens."""
    if cfg.n_layer % layout.pp or stage not in range(layout.pp):
        raise ValueError("stage")
    if cfg.n_head % layout.tp or cfg.n_kv_head % layout.tp or cfg.d_ff % layout.tp:
        raise ValueError("tp")
    h, tp = cfg.d_model, layout.tp
    total = 0
    for _ in range(cfg.n_layer // layout.pp):
        qkv = h + 2 * cfg.n_kv_head * (h // cfg.n_head)
        total += (qkv * h + h * h + 2 * h * cfg.d_ff) // tp + 4 * h
        total += ((qkv + cfg.d_ff) // tp + 2 * h) * cfg.bias
    rows = -(-cfg.vocab_size // tp)
    if stage == 0:
        total += (rows + cfg.max_seq) * h
    if stage == layout.pp - 1:
        total += 2 * h
        if layout.pp > 1 or not cfg.tie_embeddings:
            total += rows * h
    parts = zero_bytes(total, layout.dp, layout.zero)
    flying = layout.n_micro
    if layout.schedule == "1f1b":
        flying = min(flying, layout.pp - stage)
    sizes = (cfg.max_seq, layout.micro_batch, h, cfg.n_head, tp)
    tricks = {"sequence_parallel": layout.sp, "recompute": layout.recompute}
    one = activation_bytes_per_layer(*sizes, k=cfg.n_kv_head, f=cfg.d_ff, **tricks)
    activations = one * flying * (cfg.n_layer // layout.pp)
    return MemReport(parameters=parts[0], gradients=parts[1], optimizer=parts[2], activations=activations)
