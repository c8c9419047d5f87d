"""Hidden tests of exercise `param_count`."""

from dataclasses import replace

from assignments.ch01_motivation.programs import call_each
from assignments.ch01_motivation.references import draw, draw_config
from assignments.ch01_motivation.references_parameters import assert_counts
from course_env.gpt_config import GPT2_SMALL, GPTConfig
from course_env.tiny_gpt import TinyGPT
from grader.harness import assert_each_raises, exercise

# A linear layer splits its rows (outputs) and with them its bias, or its columns (inputs).
SPLIT = (
    *("token_embedding.weight", "head.weight", "qkv.weight", "qkv.bias", "up.weight", "up.bias"),
    *("output.weight", "down.weight"),
)


def held_by_one_rank(cfg, tp=1, vocab_multiple=1):
    """Return how many numbers one of `tp` ranks holds of a model that is really made, with a padded vocabulary."""
    unit = vocab_multiple * tp
    model = TinyGPT(replace(cfg, vocab_size=-(-cfg.vocab_size // unit) * unit))
    return sum(p.numel() // (tp if name.endswith(SPLIT) else 1) for name, p in model.named_parameters())


@exercise("param_count", aspect="equivalence")
def test_other_models_are_counted_exactly(launch):
    """Models of other shapes have as many parameters as TinyGPT makes of them."""
    configs = [draw_config() for _ in range(20)]
    assert_counts(launch, [{"cfg": cfg} for cfg in configs], [held_by_one_rank(cfg) for cfg in configs])


@exercise("param_count", aspect="equivalence")
def test_other_vocabularies_are_padded(launch):
    """Without any split, padding rows of the embedding, and of a head of its own, are counted."""
    configs = [draw_config() for _ in range(12)]
    calls = [{"cfg": cfg, "vocab_multiple": draw(1, 8, 16, 50)} for cfg in configs]
    assert_counts(launch, calls, [held_by_one_rank(**call) for call in calls])


@exercise("param_count", aspect="property")
def test_a_rank_of_a_padded_and_split_model(launch):
    """The vocabulary is padded until every rank has a multiple of vocab_multiple rows."""
    cfg = {"n_layer": 1, "n_head": 8, "n_kv_head": 4, "d_model": 48, "max_seq": 13}
    configs = [
        GPTConfig(vocab_size=vocab, tie_embeddings=tie, **cfg) for vocab in (50, 64, 129) for tie in (True, False)
    ]
    calls = [
        {"cfg": one, "tp": tp, "vocab_multiple": unit} for one in configs for tp in (1, 2, 4) for unit in (1, 3, 16)
    ]
    assert_counts(launch, calls, [held_by_one_rank(**call) for call in calls])


@exercise("param_count", aspect="property")
def test_a_rank_of_other_models(launch):
    """Models of other shapes that divide by two or four are split as TinyGPT's matrices say, with and without biases."""
    configs = [replace(draw_config(), n_head=8, n_kv_head=4, d_model=32) for _ in range(8)]
    calls = [{"cfg": cfg, "tp": draw(2, 4)} for cfg in configs]
    assert_counts(launch, calls, [held_by_one_rank(**call) for call in calls])


@exercise("param_count", aspect="equivalence")
def test_the_parts_of_gpt2_small(launch):
    """A block of GPT-2 small has 7,087,872 parameters, and four stages of three blocks what their parts come to."""
    calls = [{"cfg": replace(GPT2_SMALL, n_layer=n, tie_embeddings=False)} for n in (1, 2, 12)]
    block = 7_087_872
    stages = [39_383_808 + 3 * block, 3 * block, 3 * block, 3 * block + 38_598_912]
    assert_counts(launch, calls, [sum(stages) - 11 * block, sum(stages) - 10 * block, sum(stages)])


@exercise("param_count", aspect="robustness")
def test_every_kind_of_remainder_is_refused(launch):
    """Query heads, key heads and inner dimensions must each be divisible, and the padding unit must be positive."""
    good = {"vocab_size": 40, "n_layer": 1, "n_head": 8, "d_model": 48, "max_seq": 8, "d_ff": 64}
    calls = [
        {"cfg": GPTConfig(**good), "tp": 3},
        {"cfg": GPTConfig(**good, n_kv_head=2), "tp": 4},
        {"cfg": GPTConfig(**good | {"d_ff": 30}), "tp": 4},
        {"cfg": GPTConfig(**good), "tp": -1},
        {"cfg": GPTConfig(**good), "vocab_multiple": -2},
        {"cfg": GPTConfig(**good), "tp": 8},
    ]
    run = launch(call_each, 1, shared={"function": "param_count", "calls": calls}, process_group=False)
    assert_each_raises(run, "param_count", calls, ["ValueError"] * 5 + [""])
