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
    # TODO(memory): write this part, and delete the line below.
    raise NotImplementedError("TODO(memory)")


def zero_bytes(n_params: int, dp: int, zero: int) -> tuple[int, int, int]:
    """Return the bytes of (parameters, gradients, optimizer states) that one of `dp` data-parallel ranks holds.

    n_params: parameters of the model, or of the part of it that this rank has a share in
    zero: 0 shares nothing out, 1 optimizer states, 2 gradients too, 3 parameters too

    A parameter and a gradient take 2 bytes, optimizer states 12 (Adam, with a master copy of the parameter). What is shared
    out is cut into dp pieces of ceil(n_params / dp) parameters.

    Raises: ValueError for dp < 1, n_params < 0 or a zero that is not 0, 1, 2 or 3.
    Source: Rajbhandari et al. 2020, ZeRO: Memory Optimizations Toward Training Trillion Parameter Models, arXiv:1910.02054, section 5, figure 1
    """
    # TODO(memory): write this part, and delete the line below.
    raise NotImplementedError("TODO(memory)")


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
    # TODO(memory): write this part, and delete the line below.
    raise NotImplementedError("TODO(memory)")
