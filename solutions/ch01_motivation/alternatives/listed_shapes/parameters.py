"""Every parameter by its shape and how it is split, added up."""

import math


def param_count(cfg, *, tp=1, vocab_multiple=1):
    """Return how many numbers one of `tp` ranks holds."""
    if min(tp, vocab_multiple) < 1 or any(size % tp for size in (cfg.n_head, cfg.n_kv_head, cfg.d_ff)):
        raise ValueError(f"{tp} ranks with multiples of {vocab_multiple} cannot share {cfg}")
    h, vocab = cfg.d_model, cfg.vocab_size
    while vocab % (vocab_multiple * tp):
        vocab += 1
    qkv = (cfg.n_head + 2 * cfg.n_kv_head) * cfg.head_dim
    outside = [(vocab, h)] if cfg.tie_embeddings else [(vocab, h), (vocab, h)]
    block = [(qkv, h), (h, h), (cfg.d_ff, h), (h, cfg.d_ff)]
    replicated_outside, replicated_in_block = [(cfg.max_seq, h), (2, h)], [(2, h), (2, h)]
    if cfg.bias:
        block += [(qkv,), (cfg.d_ff,)]
        replicated_in_block += [(h,), (h,)]

    def numbers(shapes):
        return sum(math.prod(shape) for shape in shapes)

    split = numbers(outside) + cfg.n_layer * numbers(block)
    return split // tp + numbers(replicated_outside) + cfg.n_layer * numbers(replicated_in_block)
