"""One layer and what is left without any, in rows of the width."""


def param_count(cfg, *, tp=1, vocab_multiple=1):
    """Return how many numbers one of `tp` ranks holds."""
    if not (tp >= 1 and vocab_multiple >= 1):
        raise ValueError("tp and vocab_multiple must be positive")
    if cfg.n_head % tp or cfg.n_kv_head % tp or cfg.d_ff % tp:
        raise ValueError("tp must divide heads, key heads and the inner dimension")
    unit = tp * vocab_multiple
    rows = (cfg.vocab_size + unit - 1) // unit * vocab_multiple
    tables = rows if cfg.tie_embeddings else rows + rows
    attended = cfg.n_head // tp * cfg.head_dim
    keys = cfg.n_kv_head // tp * cfg.head_dim
    inner = cfg.d_ff // tp
    columns = (attended + 2 * keys) + attended + 2 * inner + 4  # of width d_model, in one block
    biases = attended + 2 * keys + inner + 2 * cfg.d_model if cfg.bias else 0
    return (tables + cfg.max_seq + 2 + cfg.n_layer * columns) * cfg.d_model + cfg.n_layer * biases
