"""Attention over a sequence that is cut over the ranks of a group: keys and values go round a ring.

N is the size of the group. Each rank keeps its queries, and sees the keys and values of all ranks one block after the other.
"""

import math
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup

### BEGIN SOLUTION


def _pass_on(x: Tensor, group: ProcessGroup | None) -> Tensor:
    """Send x to the next rank of the ring; return what the previous one sent."""
    size, rank = dist.get_world_size(group), dist.get_rank(group)
    received = torch.empty_like(x)
    handles = [
        dist.isend(x, group=group, group_dst=(rank + 1) % size),
        dist.irecv(received, group=group, group_src=(rank - 1) % size),
    ]
    for handle in handles:
        if handle is not None:
            handle.wait()
    return received


class _RingAttention(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0917 - what a Function is applied to has no names
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        group: ProcessGroup | None,
        places: list[Tensor] | None,
    ) -> Tensor:
        size, rank = dist.get_world_size(group), dist.get_rank(group)
        grouped = q.unflatten(1, (k.shape[1], -1))
        kv = torch.stack([k, v])
        top = q.new_full((*grouped.shape[:-1], 1), -math.inf)
        total, mixed = torch.zeros_like(top), torch.zeros_like(grouped)
        for hop in range(size):
            if hop:
                kv = _pass_on(kv, group)
            scores = _scores(grouped, kv[0], places, rank, (rank - hop) % size)
            # Of the first block, this rank's own, every query sees a key, so top is finite from then on.
            highest = torch.maximum(top, scores.amax(-1, keepdim=True))
            weights = scores.sub_(highest).exp_()
            shrink = (top - highest).exp()
            total = total * shrink + weights.sum(-1, keepdim=True)
            mixed = mixed * shrink + weights @ kv[1].unsqueeze(2)
            top = highest
            del scores, weights
        out = mixed / total
        ctx.save_for_backward(q, k, v, out, top + total.log())
        ctx.group, ctx.places = group, places
        return out.flatten(1, 2)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, out, log_total = ctx.saved_tensors
        group, places = ctx.group, ctx.places
        size, rank = dist.get_world_size(group), dist.get_rank(group)
        grouped, grad = q.unflatten(1, (k.shape[1], -1)), grad.unflatten(1, (k.shape[1], -1))
        along = (grad * out).sum(-1, keepdim=True)
        scale = 1 / math.sqrt(q.shape[-1])
        q_grad = torch.zeros_like(grouped)
        kv, kv_grad = torch.stack([k, v]), torch.zeros(2, *k.shape, dtype=k.dtype)
        for hop in range(size):
            weights = _scores(grouped, kv[0], places, rank, (rank - hop) % size).sub_(log_total).exp_()
            kv_grad[1] += (weights.mT @ grad).sum(2)
            slopes = (grad @ kv[1].unsqueeze(2).mT).sub_(along).mul_(weights)
            q_grad += scale * (slopes @ kv[0].unsqueeze(2))
            kv_grad[0] += scale * (slopes.mT @ grouped).sum(2)
            del weights, slopes
            if hop < size - 1:
                kv, kv_grad = _pass_on(torch.stack([kv, kv_grad]), group)
        # The gradients have come to the rank before their own.
        kv_grad = _pass_on(kv_grad, group) if size > 1 else kv_grad
        return q_grad.flatten(1, 2), kv_grad[0], kv_grad[1], None, None


def _scores(grouped: Tensor, k: Tensor, places: list[Tensor] | None, rank: int, source: int) -> Tensor:
    """Return the scores of this rank's queries with one rank's keys, -inf where a key is later than its query."""
    scores = (grouped / math.sqrt(grouped.shape[-1])) @ k.unsqueeze(2).mT
    if places is not None:
        scores.masked_fill_(places[source] > places[rank].unsqueeze(-1), -math.inf)
    return scores


### END SOLUTION


def token_positions(length: int, rank: int, size: int, layout: str) -> Tensor:
    """Return the positions in the sequence of the tokens that rank `rank` of `size` holds, in the order in which it holds them.

    layout: "contiguous": the rank-th of `size` equal parts. "zigzag": of 2 * size equal parts that of number rank, then that of
        number 2 * size - 1 - rank; under a causal mask all ranks then have the same work.
    Shapes: the result is (length / size,), int64.
    Raises: ValueError for another layout; if rank is not in 0, ..., size - 1; or if length cannot be cut into that many equal parts.
    Source: Liu, Zaharia, Abbeel 2023, Ring Attention with Blockwise Transformers for Near-Infinite Context, arXiv:2310.01889, section 3
    """
    ### BEGIN SOLUTION
    if layout not in ("contiguous", "zigzag"):
        raise ValueError(f"layout must be 'contiguous' or 'zigzag', not {layout!r}.")
    if not 0 <= rank < size:
        raise ValueError(f"There is no rank {rank} among {size}.")
    parts = size if layout == "contiguous" else 2 * size
    if length % parts:
        raise ValueError(f"{length} tokens cannot be cut into {parts} equal parts.")
    numbers = [rank] if layout == "contiguous" else [rank, 2 * size - 1 - rank]
    width = length // parts
    return torch.cat([torch.arange(number * width, (number + 1) * width) for number in numbers])
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    size = dist.get_world_size(group)
    if q.shape[1] % k.shape[1]:
        raise ValueError(f"{q.shape[1]} query heads cannot share {k.shape[1]} key heads evenly.")
    places = [token_positions(size * q.shape[2], rank, size, layout) for rank in range(size)]
    out: Tensor = _RingAttention.apply(q, k, v, group, places if causal else None)
    return out
    ### END SOLUTION
