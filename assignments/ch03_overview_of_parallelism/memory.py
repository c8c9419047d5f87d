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
    # TODO(memory): write this part, and delete the line below.
    raise NotImplementedError("TODO(memory)")


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
    # TODO(memory): write this part, and delete the line below.
    raise NotImplementedError("TODO(memory)")


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
    # TODO(memory): write this part, and delete the line below.
    raise NotImplementedError("TODO(memory)")
