"""Operations of one token, from the weights that it meets, times the tokens."""


def approx_6nd(n_params, n_tokens):
    """Return the rule of thumb."""
    return n_tokens * n_params * (2 + 4)


def train_flops(cfg, batch, seq, *, recompute="none"):
    """Return the operations of a training step."""
    repeats = {"none": (3, 3), "selective": (3, 4), "full": (4, 4)}
    if batch <= 0 or not 0 < seq <= cfg.max_seq:
        raise ValueError(f"{batch} sequences of {seq} tokens do not fit {cfg.max_seq} positions")
    if recompute not in repeats:
        raise ValueError(f"{recompute!r} is none of {list(repeats)}")
    of_weights, of_scores = repeats[recompute]
    kv_width = cfg.d_model * cfg.n_kv_head // cfg.n_head
    weights = cfg.d_model * (2 * cfg.d_model + 2 * kv_width + 2 * cfg.d_ff)
    scores = 2 * cfg.d_model * seq
    token = cfg.n_layer * (of_weights * weights + of_scores * scores) + 3 * cfg.vocab_size * cfg.d_model
    return 2 * token * batch * seq
