"""How many bytes one accelerator holds during a training step."""

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
    """Return the bytes of activations that one rank keeps of one transformer layer for the backward pass of one micro-batch.

    s, b, h, a: tokens of a sequence, sequences of the micro-batch, width, query heads, each with h / a dimensions
    t: tensor-parallel ranks
    k: key heads, and as many value heads; a unless given
    f: inner width of the feed-forward block; 4 h unless given

    The layer is that of the lesson's section 5, and every operation keeps what its backward pass needs: a value takes 2 bytes,
    an entry of a dropout mask 1. With fewer key than query heads, each key and each value is kept once, and the scores still have a
    map for every query head.

    sequence_parallel: tensor-parallel ranks share, along the sequence, whatever tensor parallelism alone leaves whole
    recompute: none keeps everything; selective keeps nothing that is as large as the scores; full keeps only the layer's input

    Raises: ValueError for a size below 1; if a does not divide h, or k does not divide a; if t does not divide k, f and, with
        sequence_parallel, s; for sequence_parallel with t = 1; and for another recompute.
    Source: Korthikanti et al. 2022, Reducing Activation Recomputation in Large Transformer Models, arXiv:2205.05198, section 4
    """
    ### BEGIN SOLUTION
    k, f = (a if k is None else k), (4 * h if f is None else f)
    if min(s, b, h, a, t, k, f) < 1:
        raise ValueError(f"s, b, h, a, t, k and f must be at least 1, not {s}, {b}, {h}, {a}, {t}, {k} and {f}.")
    if h % a or a % k:
        raise ValueError(f"a must divide h, and k must divide a; here h, a and k are {h}, {a} and {k}.")
    if k % t or f % t or (sequence_parallel and s % t):
        raise ValueError(f"t must divide k, f and, with sequence_parallel, s; {t} does not divide {k}, {f} and {s}.")
    if sequence_parallel and t == 1:
        raise ValueError("sequence_parallel needs t > 1: tensor-parallel ranks share the sequence.")
    if recompute not in ("none", "selective", "full"):
        raise ValueError(f"recompute must be 'none', 'selective' or 'full', not {recompute!r}.")
    tokens, between = s * b, t if sequence_parallel else 1
    if recompute == "full":
        return 2 * tokens * h // between
    whole = 10 * tokens * h  # inputs of two LayerNorms and of the two split blocks, and two masks
    split = tokens * (
        4 * h + 4 * k * (h // a) + 4 * f
    )  # queries and attended values, keys and values, two inner widths
    scores = 5 * a * s * s * b if recompute == "none" else 0
    return whole // between + (split + scores) // t
    ### END SOLUTION


def zero_bytes(n_params: int, dp: int, zero: int, *, unit: int = 0) -> tuple[int, int, int]:
    """Return the most bytes of (parameters, gradients, optimizer states) that one of `dp` data-parallel ranks holds in a step.

    n_params: parameters of the model, or of the part of it that this rank has a share in
    zero: 0 shares nothing out, 1 optimizer states, 2 gradients too, 3 parameters too
    unit: the parameters of the layers that are gathered or reduced at a time; 0 leaves out what that takes

    A parameter and a gradient take 2 bytes, optimizer states 12 (Adam, with a master copy of the parameter). What is shared out
    is cut into dp pieces, all padded to the size of the largest. Beside its pieces a rank holds one unit whole: its parameters, where
    they are shared out, to compute with them; and its gradients, where they are shared out, until they are reduced. With dp = 1
    there is nobody to share with, and nothing is held twice.

    Raises: ValueError for dp < 1, n_params < 0, a zero that is not 0, 1, 2 or 3, and a unit outside 0 to n_params.
    Source: Rajbhandari et al. 2020, ZeRO: Memory Optimizations Toward Training Trillion Parameter Models, arXiv:1910.02054, section 5, figure 1
    """
    ### BEGIN SOLUTION
    if n_params < 0 or dp < 1 or zero not in (0, 1, 2, 3) or not 0 <= unit <= n_params:
        raise ValueError(
            "n_params must be at least 0, dp at least 1, zero 0 to 3 and unit 0 to n_params, "
            f"not {n_params}, {dp}, {zero} and {unit}."
        )
    piece = -(-n_params // dp)
    beside = unit if dp > 1 else 0
    parameters = piece + beside if zero >= 3 else n_params
    gradients = piece + beside if zero >= 2 else n_params
    return 2 * parameters, 2 * gradients, 12 * (piece if zero >= 1 else n_params)
    ### END SOLUTION


def memory_per_gpu(cfg: GPTConfig, layout: Layout, stage: int = 0) -> MemReport:
    """Return what one accelerator of a pipeline stage holds, for sequences of cfg.max_seq tokens.

    Parameters: each stage has n_layer / pp blocks; stage 0 also both embeddings; the last stage also the last LayerNorm and
    the output head, or, where that is tied and the stage is not stage 0, a copy of the token embedding. Of all that a
    tensor-parallel rank has the share of chapter 1's `param_count`; the vocabulary is padded to a multiple of tp. ZeRO shares it out
    as in `zero_bytes`, with unit = 0.

    Activations: those of the stage's blocks, as in `activation_bytes_per_layer` with cfg's heads, key heads and d_ff, for every
    micro-batch in flight. With gpipe all n_micro are in flight. With 1f1b a stage begins its first backward pass as soon as it can, so
    stage 0 has as many in flight as there are stages, the last stage one, and none has more than n_micro.

    Embeddings, the head and buffers for communication keep no activations here.

    Raises: ValueError if pp does not divide n_layer, if tp does not divide n_head, n_kv_head and d_ff, or for a stage outside
        0 to pp - 1.
    """
    ### BEGIN SOLUTION
    if cfg.n_layer % layout.pp or not 0 <= stage < layout.pp:
        raise ValueError(f"pp must divide n_layer, and stage be one of pp: {layout.pp}, {cfg.n_layer}, {stage}.")
    if any(size % layout.tp for size in (cfg.n_head, cfg.n_kv_head, cfg.d_ff)):
        raise ValueError(f"tp must divide n_head, n_kv_head and d_ff, and {layout.tp} does not.")
    blocks = cfg.n_layer // layout.pp
    in_flight = layout.n_micro if layout.schedule == "gpipe" else min(layout.n_micro, layout.pp - stage)
    kept = activation_bytes_per_layer(
        cfg.max_seq,
        layout.micro_batch,
        cfg.d_model,
        cfg.n_head,
        layout.tp,
        k=cfg.n_kv_head,
        f=cfg.d_ff,
        sequence_parallel=layout.sp,
        recompute=layout.recompute,
    )
    parameters, gradients, optimizer = zero_bytes(_parameters(cfg, layout, stage), layout.dp, layout.zero)
    return MemReport(
        parameters=parameters, gradients=gradients, optimizer=optimizer, activations=blocks * in_flight * kept
    )
    ### END SOLUTION


### BEGIN SOLUTION
def _parameters(cfg: GPTConfig, layout: Layout, stage: int) -> int:
    d, tp = cfg.d_model, layout.tp
    heads, inner = (cfg.n_head + 2 * cfg.n_kv_head) * cfg.head_dim // tp, cfg.d_ff // tp
    block = heads * (d + cfg.bias) + d * d // tp + inner * (d + cfg.bias) + d * inner + 4 * d + 2 * d * cfg.bias
    vocabulary = -(-cfg.vocab_size // tp) * d
    first, last = stage == 0, stage == layout.pp - 1
    has_own_head = not cfg.tie_embeddings or not first
    return (
        cfg.n_layer // layout.pp * block
        + first * (vocabulary + cfg.max_seq * d)
        + last * (2 * d + vocabulary * has_own_head)
    )


### END SOLUTION
