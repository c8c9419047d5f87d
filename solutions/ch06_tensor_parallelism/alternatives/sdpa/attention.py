"""Separate products for q, k and v, torch's scaled_dot_product_attention, and hooks on tensors for the casts."""

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional


def _entering(x, group):
    x = x.view(x.shape)

    def reduce(grad):
        grad = grad.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(grad, group=group)
        return grad

    if x.requires_grad:
        x.register_hook(reduce)
    return x


class ParallelSelfAttention(nn.Module):
    """Attention by heads."""

    def __init__(self, d, n_head, n_kv_head, *, causal=True, group=None, kv_group=None):
        super().__init__()
        n, r = dist.get_world_size(group), dist.get_rank(group)
        fits = d % n_head == n_head % n_kv_head == n_head % n == 0
        if not fits or max(n, n_kv_head) % min(n, n_kv_head) or (n > n_kv_head and kv_group is None):
            raise ValueError("These heads do not fit.")
        self.dh, self.h, self.m = d // n_head, n_head // n, max(n_kv_head // n, 1)
        self.counts = [n_head, n_kv_head, n_kv_head]
        kv_first = r * self.m if n <= n_kv_head else r // (n // n_kv_head)
        self.first = [r * self.h, kv_first, kv_first]
        self.causal, self.group, self.kv_group = causal, group, kv_group if n > n_kv_head else None
        self.shares = n > n_kv_head
        self.sizes = [self.h * self.dh, self.m * self.dh, self.m * self.dh]
        self.qkv_weight = nn.Parameter(torch.zeros(sum(self.sizes), d))
        self.qkv_bias = nn.Parameter(torch.zeros(sum(self.sizes)))
        self.out_weight = nn.Parameter(torch.zeros(d, self.sizes[0]))
        self.out_bias = nn.Parameter(torch.zeros(d))

    def load_full(self, qkv_weight, qkv_bias, out_weight, out_bias):
        """Load."""
        spans, at = [], 0
        for count, first, size in zip(self.counts, self.first, self.sizes, strict=True):
            spans.append(torch.arange(at + first * self.dh, at + first * self.dh + size))
            at += count * self.dh
        rows = torch.cat(spans)
        self.qkv_weight.data.copy_(qkv_weight[rows])
        self.qkv_bias.data.copy_(qkv_bias[rows])
        self.out_weight.data.copy_(out_weight[:, spans[0]])
        self.out_bias.data.copy_(out_bias)

    def forward(self, x):
        """Apply."""
        inner = _entering(x, self.group)
        parts = []
        weights, biases = self.qkv_weight.split(self.sizes), self.qkv_bias.split(self.sizes)
        for number, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            if number and self.shares:
                y = inner @ _entering(weight, self.kv_group).mT + _entering(bias, self.kv_group)
            else:
                y = inner @ weight.mT + bias
            parts.append(y.reshape(*x.shape[:2], -1, self.dh).movedim(2, 1))
        out = functional.scaled_dot_product_attention(*parts, is_causal=self.causal, enable_gqa=True)
        out = out.movedim(1, 2).reshape(*x.shape[:2], -1) @ self.out_weight.mT
        total = out.detach().clone()
        dist.all_reduce(total, group=self.group)
        return self.out_bias + (out + (total - out.detach()))
