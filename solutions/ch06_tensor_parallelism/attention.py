"""Self-attention with its heads cut over the ranks of a group, also where heads share keys and values."""

import math
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.nn import functional

### BEGIN SOLUTION


class _Copy(torch.autograd.Function):
    """Invariant to replicated."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: ProcessGroup | None) -> Tensor:
        ctx.group = group
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        total = grad.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total, group=ctx.group)
        return total, None


class _Reduce(torch.autograd.Function):
    """Partial to invariant."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: ProcessGroup | None) -> Tensor:
        total = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None


### END SOLUTION


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
        ### BEGIN SOLUTION
        size = dist.get_world_size(group)
        if d % n_head or n_head % n_kv_head or n_head % size or (n_kv_head % size and size % n_kv_head):
            raise ValueError(f"{n_head} and {n_kv_head} heads of {d} numbers cannot be given to {size} ranks evenly.")
        if size > n_kv_head and kv_group is None:
            raise ValueError(
                f"{size} ranks share {n_kv_head} key and value heads: kv_group says with whom this one does."
            )
        self.d, self.n_head, self.n_kv_head, self.causal = d, n_head, n_kv_head, causal
        self.group, self.kv_group, self.d_head = group, kv_group, d // n_head
        rank = dist.get_rank(group)
        self.heads = range(rank * n_head // size, (rank + 1) * n_head // size)
        first = rank * n_kv_head // size
        self.kv_heads = range(first, first + max(1, n_kv_head // size))
        rows = (len(self.heads) + 2 * len(self.kv_heads)) * self.d_head
        self.qkv_weight = nn.Parameter(torch.randn(rows, d) / math.sqrt(d))
        self.qkv_bias = nn.Parameter(torch.zeros(rows))
        self.out_weight = nn.Parameter(torch.randn(d, len(self.heads) * self.d_head) / math.sqrt(d))
        self.out_bias = nn.Parameter(torch.zeros(d))
        ### END SOLUTION

    def load_full(self, qkv_weight: Tensor, qkv_bias: Tensor, out_weight: Tensor, out_bias: Tensor) -> None:
        """Copy this rank's parts of the whole tensors into the parameters, which stay the same objects.

        Shapes: qkv_weight (d + 2 n_kv_head d_head, d) and qkv_bias (d + 2 n_kv_head d_head): all query heads, then all key
        heads, then all value heads; out_weight (d, d), whose columns are the query heads; out_bias (d).
        """
        ### BEGIN SOLUTION
        with torch.no_grad():
            self.qkv_weight.copy_(self._rows(qkv_weight))
            self.qkv_bias.copy_(self._rows(qkv_bias))
            self.out_weight.copy_(out_weight[:, self.heads.start * self.d_head : self.heads.stop * self.d_head])
            self.out_bias.copy_(out_bias)
        ### END SOLUTION

    ### BEGIN SOLUTION
    def _rows(self, whole: Tensor) -> Tensor:
        # This rank's rows of a whole qkv weight or bias.
        heads = whole.unflatten(0, (self.n_head + 2 * self.n_kv_head, self.d_head))
        q, k, v = heads.split([self.n_head, self.n_kv_head, self.n_kv_head])
        own = [part[held.start : held.stop] for part, held in ((q, self.heads), (k, self.kv_heads), (v, self.kv_heads))]
        return torch.cat(own).flatten(0, 1)

    def _qkv(self) -> tuple[Tensor, Tensor]:
        # Weight and bias to compute with: a cast sums the gradients of a head that ranks share.
        if dist.get_world_size(self.group) <= self.n_kv_head:
            return self.qkv_weight, self.qkv_bias
        both = torch.cat([self.qkv_weight, self.qkv_bias.unsqueeze(1)], 1)
        own, shared = both.split([len(self.heads) * self.d_head, 2 * self.d_head])
        both = torch.cat([own, _Copy.apply(shared, self.kv_group)])
        return both[:, :-1], both[:, -1]

    ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        """Return what the class says."""
        ### BEGIN SOLUTION
        batch, length, _ = x.shape
        h, m = len(self.heads), len(self.kv_heads)
        heads = functional.linear(_Copy.apply(x, self.group), *self._qkv()).view(batch, length, h + 2 * m, self.d_head)
        q, k, v = heads.transpose(1, 2).split([h, m, m], 1)
        k, v = (part.repeat_interleave(h // m, 1) for part in (k, v))
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.d_head)
        if self.causal:
            scores = scores.masked_fill(torch.ones(length, length, dtype=torch.bool).triu(1), -math.inf)
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        y: Tensor = _Reduce.apply(functional.linear(mixed, self.out_weight), self.group)
        return y + self.out_bias
        ### END SOLUTION
