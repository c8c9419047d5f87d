"""How many floating-point operations a training step takes.

Only matrix products are counted: softmax, LayerNorm, GELU and the optimizer cost memory traffic, but hardly any operations.
The product of an (m, k) and a (k, n) matrix takes 2 m k n: m n sums of k products each, a multiplication and an addition for
each product.
"""

from typing import Literal

from course_env.gpt_config import GPTConfig

Recompute = Literal["none", "selective", "full"]


def train_flops(cfg: GPTConfig, batch: int, seq: int, *, recompute: Recompute = "none") -> int:
    """Return the operations of one forward and backward pass of TinyGPT over `batch` sequences of `seq` tokens.

    Exactly what `torch.utils.flop_counter.FlopCounterMode` counts for `course_env.tiny_gpt.TinyGPT`, as an int; computed from
    the sizes in `cfg`, so that no model is made and no counter runs. Attention is computed for all pairs of positions: the
    mask hides the future, it saves nothing. Looking up an embedding is no matrix product. For each matrix product forward,
    backward has two: the gradients of both factors.

    recompute: what is computed a second time in the backward pass
        none: nothing
        selective: the attention core of every block, q k^T and the weighted sum of v
        full: the forward pass of every block; that of the output head never

    Raises: ValueError for batch < 1, for seq < 1 or seq > cfg.max_seq, and for any other recompute.
    Source: Narayanan et al. 2021, Efficient Large-Scale Language Model Training on GPU Clusters Using Megatron-LM, arXiv:2104.04473, appendix
    """
    # TODO(train_flops): write this part, and delete the line below.
    raise NotImplementedError("TODO(train_flops)")


def approx_6nd(n_params: int, n_tokens: int) -> int:
    """Return the rule of thumb 6 N D as an int: two operations per parameter and token forward, four backward.

    It leaves out attention's products of activations with each other, and counts parameters that are only looked up:
    positions, and a token embedding that is not the output head as well.
    """
    # TODO(train_flops): write this part, and delete the line below.
    raise NotImplementedError("TODO(train_flops)")
