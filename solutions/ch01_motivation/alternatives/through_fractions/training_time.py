"""Days and shares as exact fractions, turned into a float at the end."""

from fractions import Fraction


def training_days(n_params, n_tokens, n_gpus, flops_per_gpu, *, recompute=True):
    """Return the days of a training."""
    if any(number <= 0 for number in (n_params, n_tokens, n_gpus, flops_per_gpu)):
        raise ValueError("all numbers must be positive")
    passes = 4 if recompute else 3
    work = 2 * passes * Fraction(n_params) * Fraction(n_tokens)
    return float(work / Fraction(n_gpus) / Fraction(flops_per_gpu) / (3600 * 24))


def mfu(tokens_per_s, cfg, seq, n_gpus, peak):
    """Return the share that the model needs."""
    return hfu(tokens_per_s, cfg, seq, n_gpus, peak, recompute="none")


def hfu(tokens_per_s, cfg, seq, n_gpus, peak, *, recompute="full"):
    """Return the share that is executed."""
    if seq < 1 or seq > cfg.max_seq or recompute not in ("none", "selective", "full"):
        raise ValueError("train_flops has no answer for these")
    forward_of_scores = 4 * seq * cfg.d_model
    kv_width = cfg.d_model * cfg.n_kv_head // cfg.n_head
    forward_of_weights = 2 * cfg.d_model * (2 * cfg.d_model + 2 * kv_width + 2 * cfg.d_ff)
    forward = cfg.n_layer * (forward_of_scores + forward_of_weights) + 2 * cfg.d_model * cfg.vocab_size
    executed = 3 * forward
    if recompute != "none":
        executed += cfg.n_layer * forward_of_scores
    if recompute == "full":
        executed += cfg.n_layer * forward_of_weights
    return float(Fraction(tokens_per_s) * executed / (Fraction(n_gpus) * Fraction(peak)))
