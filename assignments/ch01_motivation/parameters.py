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
    # TODO(param_count): write this part, and delete the line below.
    raise NotImplementedError("TODO(param_count)")
