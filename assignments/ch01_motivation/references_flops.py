"""Baselines and assertions that the public and the hidden tests of flops.py share."""

from assignments.ch01_motivation.programs import call_each
from assignments.ch01_motivation.references import telling
from grader.harness import assert_each_returns


def assert_flops(launch, calls, expected, why="PyTorch counts as many for TinyGPT(cfg)"):
    """Every call returns the whole number that is expected of it."""
    run = launch(call_each, 1, shared={"function": "train_flops", "calls": calls}, process_group=False)
    wrong = {}
    for call, right in zip(calls, expected, strict=True):
        for name, number in _after_mistakes(right, **call).items():
            wrong.setdefault(name, []).append(number)
    assert_each_returns(run, "train_flops", calls, expected, why=why, mistakes=telling(wrong, expected))


def _after_mistakes(right, cfg, batch, seq, recompute="none"):
    """Return the count that each of some mistakes makes of the right one."""
    tokens, d, layers = batch * seq, cfg.d_model, cfg.n_layer
    passes = 4 if recompute == "full" else 3  # of the blocks' linear layers
    attention = 4 * layers * tokens * seq * d  # forward
    attentions = attention * (3 if recompute == "none" else 4)
    head = 2 * cfg.vocab_size * d * tokens
    again = {"none": 0, "selective": attention, "full": (right - 3 * head) // 4}[recompute]
    projections = 2 * tokens * layers * d * (d + (cfg.n_head + 2 * cfg.n_kv_head) * cfg.head_dim)
    more_heads = 2 * tokens * layers * d * 2 * (cfg.n_head - cfg.n_kv_head) * cfg.head_dim
    wider = 2 * tokens * layers * 2 * d * (4 * d - cfg.d_ff)
    fewer = attentions - attentions * cfg.n_kv_head // cfg.n_head
    return {
        "a multiplication and its addition are counted as one operation": right // 2,
        "backward is taken for as expensive as forward, and has two products for each": (right - again) // 3 * 2
        + again,
        "only the forward pass is counted": (right - again) // 3,
        "what is computed a second time is left out": right - again,
        "attention's two products, q k^T and the weighted sum of v, are left out": right - attentions,
        "attention's products are counted by half: both are due, for all pairs of positions, whatever the mask hides": right
        - attentions // 2,
        "the output head is left out": right - 3 * head,
        "the output head's forward pass is counted twice, and no recomputation repeats it": right
        + (head if recompute == "full" else 0),
        "selective recomputation repeats the projections, too": (
            right + (projections if recompute == "selective" else 0)
        ),
        "keys and values have as many heads as queries": right + passes * more_heads,
        "attention's products have n_kv_head heads, and all n_head query heads take part": right - fewer,
        "d_ff is taken for 4 * d_model": right + passes * wider,
        "looking up an embedding is counted as a matrix product": right + 3 * head,
        "the batch is left out": right // batch,
    }
