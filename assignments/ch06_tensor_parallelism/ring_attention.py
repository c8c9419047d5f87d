"""Attention over a sequence that is cut over the ranks of a group: keys and values go round a ring.

N is the size of the group. Each rank keeps its queries, and sees the keys and values of all ranks one block after the other.
"""

import math
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup


def token_positions(length: int, rank: int, size: int, layout: str) -> Tensor:
    """Return the positions in the sequence of the tokens that rank `rank` of `size` holds, in the order in which it holds them.

    layout: "contiguous": the rank-th of `size` equal parts. "zigzag": of 2 * size equal parts that of number rank, then that of
        number 2 * size - 1 - rank; under a causal mask all ranks then have the same work.
    Shapes: the result is (length / size,), int64.
    Raises: ValueError for another layout; if rank is not in 0, ..., size - 1; or if length cannot be cut into that many equal parts.
    Source: Liu, Zaharia, Abbeel 2023, Ring Attention with Blockwise Transformers for Near-Infinite Context, arXiv:2310.01889, section 3
    """
    # TODO(ring_attention): write this part, and delete the line below.
    raise NotImplementedError("TODO(ring_attention)")


def ring_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    group: ProcessGroup | None = None,
    *,
    causal: bool = False,
    layout: str = "contiguous",
) -> Tensor:
    """Return softmax(Q K^T / sqrt(d_head)) V for this rank's queries and the keys and values of all ranks.

    Each rank of `group` (None: all ranks) holds the tokens that token_positions says, of a sequence of s tokens. With `causal`
    a query sees the keys at its own position in the sequence and before it, otherwise all. Query head i uses key and value
    head i // (h / h_kv).

    Memory: forward and backward, a rank never holds scores or weights of its queries with the keys of all ranks, but those of
        one block after the other: no more than a few of (b, h, s / N, s / N) at a time.
    Shapes: q (b, h, s / N, d_head), k and v (b, h_kv, s / N, d_head), the same on all ranks. The result has q's shape.
        q, k and v stay as they were.
    Gradients: those of q, k and v are the gradients of the sum of all ranks' losses.
    Communicates: messages only. Forward, each rank sends K and V, its own and those that it has received, N - 1 times to the
        next rank in the group, in one message or two: 2 (N - 1) b h_kv (s / N) d_head elements. Backward at most twice as many
        and 2 b h_kv (s / N) d_head more, all to the next rank or all to the previous one.
    Raises: ValueError, before anything is communicated, for another layout, if h_kv does not divide h, or in layout "zigzag"
        if s / N is odd.
    """
    # TODO(ring_attention): write this part, and delete the line below.
    raise NotImplementedError("TODO(ring_attention)")
