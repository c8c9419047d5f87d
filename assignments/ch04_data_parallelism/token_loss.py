"""The loss of a language model over all tokens of all ranks, when ranks hold different numbers of them.

A batch of sequences is padded, prompts are masked out, documents end early: the number of tokens that count differs from
rank to rank. A data-parallel wrapper averages gradients over ranks, and the average of N means over tokens is not the
mean over all tokens: a token on a rank with few others would weigh more than one on a rank with many.
"""

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup
from torch.nn import functional


def dp_token_loss(
    logits: Tensor, targets: Tensor, group: ProcessGroup | None = None, *, ignore_index: int = -100
) -> Tensor:
    """Return this rank's part of the mean cross-entropy over all valid tokens of the group, times N.

    That is N * (sum of the cross-entropies of this rank's valid tokens) / (number of valid tokens on all N ranks of
    `group`; None: all ranks). A token is valid if its target is not `ignore_index`. So the average of the results over
    the ranks is the mean over all valid tokens, and averaging the ranks' gradients, as DDP does, gives its gradient. The
    results themselves differ from rank to rank and are not communicated.

    A rank without valid tokens returns 0, still attached to its logits: backward() works there and gives zeros,
    because DDP's all-reduces wait for every rank. The same holds on every rank if there is no valid token at all.

    Shapes: logits (b, s, V) and targets (b, s), int64, each of 0 to V - 1 or `ignore_index`, are this rank's own; b and
        s may differ from rank to rank, and b may be 0. Both may have any strides. Logits may be -inf where a class is
        impossible, but not at a valid target. The result is 0-d. Both arguments stay as they were.
    dtype: float64 and float32 logits give a result of their dtype; float16 and bfloat16 logits are widened, and the result
        is float32.
    Communicates: one all-reduce of one number of at most 8 bytes, the count; nothing in backward.
    Source: Hugging Face 2024, Fixing Gradient Accumulation, https://huggingface.co/blog/gradient_accumulation
    """
    # TODO(dp_token_loss): write this part, and delete the line below.
    raise NotImplementedError("TODO(dp_token_loss)")
