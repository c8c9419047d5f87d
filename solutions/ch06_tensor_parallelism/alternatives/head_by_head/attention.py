"""A loop over heads, and one custom Function for the sum and one for the copy, on einsum."""

import torch
import torch.distributed as dist
from torch import nn


class _Both(torch.autograd.Function):
    """Sum forward, or backward, or neither."""

    @staticmethod
    def forward(ctx, x, group, there, back):
        ctx.group, ctx.back = group, back
        total = x.clone(memory_format=torch.contiguous_format)
        if there:
            dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx, grad):
        return _Both.forward(ctx, grad, ctx.group, ctx.back, ctx.back), None, None, None


class ParallelSelfAttention(nn.Module):
    """Attention by heads."""

    def __init__(self, d, n_head, n_kv_head, *, causal=True, group=None, kv_group=None):
        super().__init__()
        n, r = dist.get_world_size(group), dist.get_rank(group)
        if d % n_head:
            raise ValueError("d")
        if n_head % n_kv_head:
            raise ValueError("kv")
        if n_head % n:
            raise ValueError("heads")
        if n_kv_head % n and n % n_kv_head:
            raise ValueError("kv heads")
        self.replicated = n_kv_head < n
        if self.replicated and kv_group is None:
            raise ValueError("kv_group")
        self.n_head, self.n_kv_head, self.dh, self.causal = n_head, n_kv_head, d // n_head, causal
        self.group, self.kv_group = group, kv_group
        self.q_heads = [head for head in range(n_head) if head * n // n_head == r]
        ratio = n_head // n_kv_head
        self.k_heads = sorted({head // ratio for head in self.q_heads})
        self.uses = [self.k_heads.index(head // ratio) for head in self.q_heads]
        rows = (len(self.q_heads) + 2 * len(self.k_heads)) * self.dh
        self.qkv_weight = nn.Parameter(torch.ones(rows, d))
        self.qkv_bias = nn.Parameter(torch.ones(rows))
        self.out_weight = nn.Parameter(torch.ones(d, len(self.q_heads) * self.dh))
        self.out_bias = nn.Parameter(torch.ones(d))

    @torch.no_grad()
    def load_full(self, qkv_weight, qkv_bias, out_weight, out_bias):
        """Load."""
        blocks = [*self.q_heads, *(self.n_head + k for k in self.k_heads)]
        blocks += [self.n_head + self.n_kv_head + k for k in self.k_heads]
        for at, block in enumerate(blocks):
            here, there = slice(at * self.dh, (at + 1) * self.dh), slice(block * self.dh, (block + 1) * self.dh)
            self.qkv_weight[here] = qkv_weight[there]
            self.qkv_bias[here] = qkv_bias[there]
            if at < len(self.q_heads):
                self.out_weight[:, here] = out_weight[:, there]
        self.out_bias[:] = out_bias

    def forward(self, x):
        """Apply."""
        inner = _Both.apply(x, self.group, False, True)
        nq, nk, dh = len(self.q_heads), len(self.k_heads), self.dh
        weight, bias = self.qkv_weight, self.qkv_bias
        wq, wk, wv = weight.view(-1, dh, weight.shape[1]).split([nq, nk, nk])
        bq, bk, bv = bias.view(-1, dh).split([nq, nk, nk])
        if self.replicated:
            wk, wv, bk, bv = (_Both.apply(t, self.kv_group, False, True) for t in (wk, wv, bk, bv))
        out = 0
        for i, j in enumerate(self.uses):
            q = torch.einsum("bsd,ed->bse", inner, wq[i]) + bq[i]
            k = torch.einsum("bsd,ed->bse", inner, wk[j]) + bk[j]
            v = torch.einsum("bsd,ed->bse", inner, wv[j]) + bv[j]
            scores = torch.einsum("bse,bte->bst", q, k) * dh**-0.5
            if self.causal:
                at = torch.arange(x.shape[1])
                scores = torch.where(at[:, None] >= at, scores, -torch.inf)
            scores = torch.softmax(scores, dim=2)
            out = out + torch.einsum("bst,bte,de->bsd", scores, v, self.out_weight[:, i * dh : (i + 1) * dh])
        return _Both.apply(out, self.group, True, False) + self.out_bias
