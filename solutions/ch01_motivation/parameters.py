"""How many parameters a GPT has, and how many of them one tensor-parallel rank holds."""

from course_env.gpt_config import GPTConfig


def param_count(cfg: GPTConfig, *, tp: int = 1, vocab_multiple: int = 1) -> int:
    """Return the number of parameters that one of `tp` tensor-parallel ranks holds; all of them for tp = 1.

    The model is `course_env.tiny_gpt.TinyGPT`; the count is computed from the sizes in `cfg`, and no model is made for it. The
    vocabulary is padded first: to the next multiple of vocab_multiple * tp, or not at all if it is one. Rows of padding count.
    Of `tp` ranks each holds

    * 1/tp of the token embedding's rows, and of the output head's where that is not the embedding itself,
    * 1/tp of the query, key and value heads (weight and bias) and of the columns of the attention's output weight,
    * 1/tp of the feed-forward block's inner dimensions: rows of the first weight and its bias, columns of the second weight,
    * all of the rest: position embedding, LayerNorms, and the biases of the two layers whose columns are split, which are
      added once, after the ranks' partial sums.

    Raises: ValueError if tp or vocab_multiple is smaller than 1, or if tp does not divide each of n_head, n_kv_head and d_ff.
    Source: Shoeybi et al. 2019, Megatron-LM: Training Multi-Billion Parameter Language Models Using Model Parallelism, arXiv:1909.08053, section 3
    """
    ### BEGIN SOLUTION
    if tp < 1 or vocab_multiple < 1:
        raise ValueError(f"tp and vocab_multiple must be at least 1, not {tp} and {vocab_multiple}.")
    for name in ("n_head", "n_kv_head", "d_ff"):
        if getattr(cfg, name) % tp:
            raise ValueError(f"tp must divide {name}, and {tp} does not divide {getattr(cfg, name)}.")
    d = cfg.d_model
    unit = vocab_multiple * tp
    vocab_rows = -(-cfg.vocab_size // unit) * unit // tp
    embeddings = vocab_rows * d * (1 if cfg.tie_embeddings else 2) + cfg.max_seq * d
    heads = (cfg.n_head + 2 * cfg.n_kv_head) * cfg.head_dim // tp
    inner = cfg.d_ff // tp
    split = heads * (d + cfg.bias) + d * d // tp + inner * (d + cfg.bias) + d * inner
    replicated = 2 * 2 * d + 2 * d * cfg.bias
    return embeddings + cfg.n_layer * (split + replicated) + 2 * d
    ### END SOLUTION
