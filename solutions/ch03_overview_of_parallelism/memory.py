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
    sequence_parallel: bool = False,
    recompute: Literal["none", "selective", "full"] = "none",
) -> int:
    """Return the bytes of activations that one rank keeps of one transformer layer for the backward pass of one micro-batch.

    s, b, h, a: sequence length, sequences in the micro-batch, width, heads; activations in 2 bytes, dropout masks in 1
    t: tensor-parallel ranks

    | recompute | alone, t = 1 | tensor-parallel | and sequence-parallel |
    |---|---|---|---|
    | none | sbh (34 + 5as/h) | sbh (10 + 24/t + 5as/(ht)) | sbh (34/t + 5as/(ht)) |
    | selective | 34 sbh | sbh (10 + 24/t) | 34 sbh / t |
    | full | 2 sbh | 2 sbh | 2 sbh |

    Raises: ValueError for a size below 1, if t does not divide h, a and (if sequence_parallel) s, for sequence_parallel with
        t = 1, and for another recompute.
    Source: Korthikanti et al. 2022, Reducing Activation Recomputation in Large Transformer Models, arXiv:2205.05198, table 2
    """
    ### BEGIN SOLUTION
    if min(s, b, h, a, t) < 1:
        raise ValueError(f"s, b, h, a and t must be at least 1, not {s}, {b}, {h}, {a} and {t}.")
    if h % t or a % t or (sequence_parallel and s % t):
        raise ValueError(f"t must divide h, a and, with sequence_parallel, s; {t} does not divide {h}, {a} and {s}.")
    if sequence_parallel and t == 1:
        raise ValueError("sequence_parallel needs t > 1: tensor-parallel ranks share the sequence.")
    if recompute not in ("none", "selective", "full"):
        raise ValueError(f"recompute must be 'none', 'selective' or 'full', not {recompute!r}.")
    sbh = s * b * h
    if recompute == "full":
        return 2 * sbh
    core = 5 * a * s * s * b // t if recompute == "none" else 0
    return (34 * sbh // t if sequence_parallel else 10 * sbh + 24 * sbh // t) + core
    ### END SOLUTION


def zero_bytes(n_params: int, dp: int, zero: int) -> tuple[int, int, int]:
    """Return the bytes of (parameters, gradients, optimizer states) that one of `dp` data-parallel ranks holds.

    n_params: parameters of the model, or of the part of it that this rank has a share in
    zero: 0 shares nothing out, 1 optimizer states, 2 gradients too, 3 parameters too

    A parameter and a gradient take 2 bytes, optimizer states 12 (Adam, with a master copy of the parameter). What is shared
    out is cut into dp pieces of ceil(n_params / dp) parameters.

    Raises: ValueError for dp < 1, n_params < 0 or a zero that is not 0, 1, 2 or 3.
    Source: Rajbhandari et al. 2020, ZeRO: Memory Optimizations Toward Training Trillion Parameter Models, arXiv:1910.02054, section 5, figure 1
    """
    ### BEGIN SOLUTION
    if n_params < 0 or dp < 1 or zero not in (0, 1, 2, 3):
        raise ValueError(
            f"n_params, dp and zero must be at least 0, at least 1 and 0 to 3, not {n_params}, {dp}, {zero}."
        )
    piece = -(-n_params // dp)
    parameters, gradients, optimizer = (piece if zero >= level else n_params for level in (3, 2, 1))
    return 2 * parameters, 2 * gradients, 12 * optimizer
    ### END SOLUTION


def memory_per_gpu(cfg: GPTConfig, layout: Layout, stage: int = 0) -> MemReport:
    """Return what one accelerator of a pipeline stage holds, for sequences of cfg.max_seq tokens.

    Parameters: each stage has n_layer / pp blocks; stage 0 also both embeddings; the last stage also the last LayerNorm and
    the output head, or, where that is tied and the stage is not stage 0, a copy of the token embedding. Of all that a
    tensor-parallel rank has the share of chapter 1's `param_count`; the vocabulary is padded to a multiple of tp. ZeRO shares it out
    as in `zero_bytes`.

    Activations: those of the stage's blocks, as in `activation_bytes_per_layer`, for every micro-batch in flight: with 1f1b
    min(n_micro, pp - stage), with gpipe n_micro. Embeddings, the head and buffers for communication are left out.

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
