"""A GPT small enough to train in a test; every matrix product of its forward pass is written out in this file."""

import math

import torch
from torch import Tensor, nn

from course_env.gpt_config import GPTConfig


class TinyGPT(nn.Module):
    """A decoder-only transformer as `GPTConfig` describes it.

    Attention is written out as softmax(q k^T / sqrt(d)) v, so that every matrix product can be counted and split.
    Attributes: token_embedding, position_embedding, blocks, final_norm, head.
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.position_embedding = nn.Embedding(config.max_seq, config.d_model)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.final_norm = nn.LayerNorm(config.d_model)
        self.head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        if config.tie_embeddings:
            self.head.weight = self.token_embedding.weight
        self.apply(_initialise)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits of the next token at every position.

        Shapes: tokens (b, s) of int64, s at most max_seq; the result (b, s, vocab_size).
        """
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.dropout(self.token_embedding(tokens) + self.position_embedding(positions))
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(self.final_norm(x))
        return logits


class Block(nn.Module):
    """Attention and feed-forward, each behind a LayerNorm and added to the residual stream."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.d_model)
        self.attention = Attention(config)
        self.feed_forward_norm = nn.LayerNorm(config.d_model)
        self.feed_forward = FeedForward(config)

    def forward(self, x: Tensor) -> Tensor:
        """Return the residual stream after the block. Shapes: x and the result (b, s, d_model)."""
        x = x + self.attention(self.attention_norm(x))
        out: Tensor = x + self.feed_forward(self.feed_forward_norm(x))
        return out


class Attention(nn.Module):
    """Causal attention with n_head query heads and n_kv_head key and value heads.

    qkv: one linear layer whose rows are all query heads, then all key heads, then all value heads
    output: the linear layer that mixes the heads
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.n_head, self.n_kv_head, self.head_dim = config.n_head, config.n_kv_head, config.head_dim
        self.qkv = nn.Linear(config.d_model, (config.n_head + 2 * config.n_kv_head) * config.head_dim, bias=config.bias)
        self.output = nn.Linear(config.d_model, config.d_model, bias=config.bias)
        self.weight_dropout = nn.Dropout(config.dropout)
        self.output_dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return what each position gathers from those before it and itself. Shapes: x and the result (b, s, d_model)."""
        batch, seq, _ = x.shape
        sizes = [heads * self.head_dim for heads in (self.n_head, self.n_kv_head, self.n_kv_head)]
        q, k, v = (
            part.view(batch, seq, -1, self.head_dim).transpose(1, 2) for part in self.qkv(x).split(sizes, dim=-1)
        )
        heads = self.core(q, k, v).transpose(1, 2).reshape(batch, seq, -1)
        out: Tensor = self.output_dropout(self.output(heads))
        return out

    def core(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Return softmax(q k^T / sqrt(d)) v, in which no position sees a later one.

        Shapes: q and the result (b, n_head, s, head_dim); k and v (b, n_kv_head, s, head_dim).
        """
        k, v = (part.repeat_interleave(self.n_head // self.n_kv_head, dim=1) for part in (k, v))
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.head_dim)
        future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
        weights = self.weight_dropout(scores.masked_fill(future, -math.inf).softmax(dim=-1))
        attended: Tensor = weights @ v
        return attended


class FeedForward(nn.Module):
    """Two linear layers with an exact GELU between them."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.up = nn.Linear(config.d_model, config.d_ff, bias=config.bias)
        self.down = nn.Linear(config.d_ff, config.d_model, bias=config.bias)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return the output for each position separately. Shapes: x and the result (b, s, d_model)."""
        out: Tensor = self.dropout(self.down(nn.functional.gelu(self.up(x))))
        return out


def _initialise(module: nn.Module) -> None:
    """Draw weights from N(0, 0.02^2) as GPT-2 does; set biases to zero."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
