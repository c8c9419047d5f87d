"""Every matrix product of the forward pass by its three sizes, each with how often it is executed."""


def train_flops(cfg, batch, seq, *, recompute="none"):
    """Return the operations of a training step."""
    if recompute not in {"none", "selective", "full"} or batch < 1 or seq < 1 or seq > cfg.max_seq:
        raise ValueError("no such training step")
    again = recompute == "full"
    rows, width = batch * seq, cfg.d_model
    qkv = (cfg.n_head + cfg.n_kv_head + cfg.n_kv_head) * cfg.head_dim
    products = [(rows, width, qkv, 3 + again), (rows, width, width, 3 + again)]
    products += [(rows, width, cfg.d_ff, 3 + again), (rows, cfg.d_ff, width, 3 + again)]
    pairs = batch * cfg.n_head * (3 + (recompute != "none"))
    products += [(seq, cfg.head_dim, seq, pairs), (seq, seq, cfg.head_dim, pairs)]
    blocks = sum(2 * m * k * n * times for m, k, n, times in products)
    return cfg.n_layer * blocks + 3 * 2 * rows * width * cfg.vocab_size


def approx_6nd(n_params, n_tokens):
    """Return the rule of thumb."""
    forward = 2 * n_params * n_tokens
    return forward + 2 * forward
