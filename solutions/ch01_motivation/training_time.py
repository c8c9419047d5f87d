"""How long training takes, and how well it uses its accelerators."""

from typing import Literal

from course_env.gpt_config import GPTConfig

### BEGIN SOLUTION
SECONDS_PER_DAY = 24 * 60 * 60


### END SOLUTION
def training_days(
    n_params: float, n_tokens: float, n_gpus: int, flops_per_gpu: float, *, recompute: bool = True
) -> float:
    """Return the days that it takes to train `n_params` parameters on `n_tokens` tokens.

    Attention's products of activations are left out, as in the rule of thumb 6 N D. A day has 86,400 seconds.
    flops_per_gpu: operations per second that one accelerator really achieves, recomputed ones included
    recompute: activations are recomputed in full, so that each token takes 8 operations per parameter instead of 6

    Raises: ValueError if a number is not positive.
    Source: Narayanan et al. 2021, Efficient Large-Scale Language Model Training on GPU Clusters Using Megatron-LM, arXiv:2104.04473, section 5.1
    """
    ### BEGIN SOLUTION
    if min(n_params, n_tokens, n_gpus, flops_per_gpu) <= 0:
        raise ValueError("n_params, n_tokens, n_gpus and flops_per_gpu must be positive.")
    flops = (8 if recompute else 6) * n_params * n_tokens
    return flops / (n_gpus * flops_per_gpu) / SECONDS_PER_DAY
    ### END SOLUTION


def mfu(tokens_per_s: float, cfg: GPTConfig, seq: int, n_gpus: int, peak: float) -> float:
    """Return the model FLOPs utilisation: the share of the peak that the model itself needs at this speed.

    A share, not a percentage: 0.45, not 45.
    tokens_per_s: tokens that all accelerators together train on in a second
    peak: operations per second that one accelerator could do at most

    What the model needs for a token is train_flops(cfg, 1, seq) / seq of exercise `train_flops`, nothing recomputed: mfu
    compares how fast models are trained, whatever tricks were used. As there, no model is made.

    Raises: ValueError for a seq that `train_flops` refuses.
    """
    ### BEGIN SOLUTION
    return tokens_per_s * _flops_per_token(cfg, seq, "none") / (n_gpus * peak)
    ### END SOLUTION


def hfu(
    tokens_per_s: float,
    cfg: GPTConfig,
    seq: int,
    n_gpus: int,
    peak: float,
    *,
    recompute: Literal["none", "selective", "full"] = "full",
) -> float:
    """Return the hardware FLOPs utilisation: like `mfu`, but operations that are done twice are counted twice.

    recompute: as in exercise `train_flops`

    Raises: ValueError for a seq or a recompute that `train_flops` refuses.
    """
    ### BEGIN SOLUTION
    return tokens_per_s * _flops_per_token(cfg, seq, recompute) / (n_gpus * peak)
    ### END SOLUTION


### BEGIN SOLUTION
def _flops_per_token(cfg: GPTConfig, seq: int, recompute: str) -> float:
    if not 1 <= seq <= cfg.max_seq:
        raise ValueError(f"seq must be from 1 to {cfg.max_seq}, not {seq}.")
    d = cfg.d_model
    linear = 2 * cfg.n_layer * (d * (cfg.n_head + 2 * cfg.n_kv_head) * cfg.head_dim + d * d + 2 * d * cfg.d_ff)
    core = 4 * cfg.n_layer * seq * d
    again = {"none": 0, "selective": core, "full": linear + core}
    if recompute not in again:
        raise ValueError(f"recompute must be one of {', '.join(again)}, not {recompute!r}.")
    return 3 * (linear + core + 2 * d * cfg.vocab_size) + again[recompute]


### END SOLUTION
