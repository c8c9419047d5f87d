"""Seconds first, and what one accelerator gives to one token."""


def training_days(n_params, n_tokens, n_gpus, flops_per_gpu, *, recompute=True):
    """Return the days of a training."""
    for number in (n_params, n_tokens, n_gpus, flops_per_gpu):
        if not number > 0:
            raise ValueError(f"{number} is not positive")
    tokens_per_s = n_gpus * flops_per_gpu / (n_params * (8.0 if recompute else 6.0))
    hours = n_tokens / tokens_per_s / 3600
    return hours / 24


def _operations(cfg, seq, blocks, scores):
    if not 1 <= seq <= cfg.max_seq:
        raise ValueError(f"no sequence of {seq} tokens")
    qkv = cfg.head_dim * (cfg.n_head + 2 * cfg.n_kv_head)
    weights = cfg.n_layer * cfg.d_model * (qkv + cfg.d_model + 2 * cfg.d_ff)
    return 2.0 * (blocks * weights + scores * cfg.n_layer * 2 * seq * cfg.d_model + 3 * cfg.d_model * cfg.vocab_size)


def mfu(tokens_per_s, cfg, seq, n_gpus, peak):
    """Return the share that the model needs."""
    return tokens_per_s / n_gpus * (_operations(cfg, seq, 3, 3) / peak)


def hfu(tokens_per_s, cfg, seq, n_gpus, peak, *, recompute="full"):
    """Return the share that is executed."""
    try:
        executed = {"none": (3, 3), "selective": (3, 4), "full": (4, 4)}[recompute]
    except KeyError:
        raise ValueError(f"recompute cannot be {recompute!r}") from None
    return tokens_per_s / n_gpus * (_operations(cfg, seq, *executed) / peak)
