"""Self-attention with its heads cut over the ranks of a group, also where heads share keys and values."""

import math
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.nn import functional


class ParallelSelfAttention(nn.Module):
    """softmax(Q K^T / sqrt(d_head)) V for n_head query heads, and an output layer; d_head is d / n_head.

    Query heads share n_kv_head key and value heads: query head i uses key and value head i // (n_head / n_kv_head). With
    `causal`, a token sees itself and the tokens before it, otherwise all.

    Rank r of the N ranks of `group` (None: all ranks) computes the r-th of N equal blocks of the query heads, h of them.
    If N divides n_kv_head, it holds the r-th of N equal blocks of the key and value heads, m of them. Otherwise n_kv_head
    must divide N, m is 1, and the rank holds key and value head r n_kv_head // N, which N / n_kv_head ranks hold alike;
    `kv_group` is the group of just these ranks, and is not used otherwise.

    Parameters: `qkv_weight` ((h + 2 m) d_head, d) and `qkv_bias` ((h + 2 m) d_head): the rank's query heads, then its key
        heads, then its value heads; `out_weight` (d, h d_head), the columns of the rank's query heads; these three are
        varying. `out_bias` (d) is invariant, and is added once. Their first values are up to you.
    Shapes: x and the result (b, s, d), invariant.
    Gradients: that of x is whole. Those of the parameters are the rank's parts of the whole gradients, out_bias.grad all of
        it. Where ranks hold the same key and value head, its gradient is that of all query heads that use it, and is the
        same on these ranks: .grad has it after each backward pass. Two backward passes add up.
    Communicates: one all-reduce of as many elements as x has forward, and one backward. Where ranks hold the same head, in
        addition all-reduces over kv_group in backward, of 2 d_head (d + 1) elements together, in as many calls as you like.
        Nothing else; the constructor and load_full communicate nothing.
    Raises: ValueError in the constructor if n_head does not divide d, n_kv_head does not divide n_head, N does not divide
        n_head, neither of N and n_kv_head divides the other, or N is greater than n_kv_head and kv_group is None.
    Source: Shoeybi et al. 2019, Megatron-LM: Training Multi-Billion Parameter Language Models Using Model Parallelism, arXiv:1909.08053, section 3
    """

    qkv_weight: nn.Parameter
    qkv_bias: nn.Parameter
    out_weight: nn.Parameter
    out_bias: nn.Parameter

    def __init__(
        self,
        d: int,
        n_head: int,
        n_kv_head: int,
        *,
        causal: bool = True,
        group: ProcessGroup | None = None,
        kv_group: ProcessGroup | None = None,
    ) -> None:
        super().__init__()
        # TODO(parallel_attention): write this part, and delete the line below.
        raise NotImplementedError("TODO(parallel_attention)")

    def load_full(self, qkv_weight: Tensor, qkv_bias: Tensor, out_weight: Tensor, out_bias: Tensor) -> None:
        """Copy this rank's parts of the whole tensors into the parameters, which stay the same objects.

        Shapes: qkv_weight (d + 2 n_kv_head d_head, d) and qkv_bias (d + 2 n_kv_head d_head): all query heads, then all key
        heads, then all value heads; out_weight (d, d), whose columns are the query heads; out_bias (d).
        """
        # TODO(parallel_attention): write this part, and delete the line below.
        raise NotImplementedError("TODO(parallel_attention)")

    def forward(self, x: Tensor) -> Tensor:
        """Return what the class says."""
        # TODO(parallel_attention): write this part, and delete the line below.
        raise NotImplementedError("TODO(parallel_attention)")
