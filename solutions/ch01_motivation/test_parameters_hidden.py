"""Hidden tests of exercise `param_count`."""

from dataclasses import replace

from assignments.ch01_motivation.references import draw, draw_config
from assignments.ch01_motivation.references_parameters import assert_counts, held_by_one_rank
from course_env.gpt_config import GPT2_MEDIUM_345M, GPT2_SMALL, GPT3_175B, GPTConfig
from course_env.rank_programs import call_each, error_types
from grader.harness import exercise


@exercise("param_count", aspect="equivalence")
def test_other_models_are_counted_exactly(launch):
    """Models of other shapes have as many parameters as TinyGPT makes of them."""
    configs = [draw_config() for _ in range(30)] + [GPT3_175B, GPT2_MEDIUM_345M]
    assert_counts(launch, [{"cfg": cfg} for cfg in configs], [held_by_one_rank(cfg) for cfg in configs])


@exercise("param_count", aspect="equivalence")
def test_the_vocabulary_is_padded(launch):
    """Without any split, padding rows of the embedding, and of a head of its own, are counted."""
    configs = [draw_config() for _ in range(20)]
    calls = [{"cfg": cfg, "vocab_multiple": draw(1, 8, 16, 50)} for cfg in configs]
    assert_counts(launch, calls, [held_by_one_rank(**call) for call in calls])


@exercise("param_count", aspect="property")
def test_a_rank_of_a_padded_and_split_model(launch):
    """The vocabulary is padded until every rank has a multiple of vocab_multiple rows."""
    cfg = {"n_layer": 2, "n_head": 8, "n_kv_head": 4, "d_model": 48, "max_seq": 13}
    configs = [
        GPTConfig(vocab_size=vocab, tie_embeddings=tie, **cfg) for vocab in (50, 64, 129) for tie in (True, False)
    ]
    calls = [
        {"cfg": one, "tp": tp, "vocab_multiple": unit} for one in configs for tp in (1, 2, 4) for unit in (1, 3, 16)
    ]
    assert_counts(launch, calls, [held_by_one_rank(**call) for call in calls])


@exercise("param_count", aspect="property")
def test_a_known_model_on_four_ranks(launch):
    """A known model on four ranks has as many parameters a rank as its training log says, and 431 rows of padding."""
    assert_counts(launch, [{"cfg": GPT2_MEDIUM_345M, "tp": 4, "vocab_multiple": 128}], [89_714_688])
    padded = replace(GPT2_MEDIUM_345M, vocab_size=50_257 + 431)
    assert_counts(launch, [{"cfg": padded, "tp": 4}], [89_714_688])


@exercise("param_count", aspect="equivalence")
def test_the_parts_of_gpt2_small(launch):
    """A block of GPT-2 small has 7,087,872 parameters, and four stages of three blocks what their parts come to."""
    one_block, two_blocks = (replace(GPT2_SMALL, n_layer=n, tie_embeddings=False) for n in (1, 2))
    shared = {"function": "param_count", "calls": [{"cfg": one_block}, {"cfg": two_blocks}]}
    first, second = launch(call_each, 1, shared=shared, process_group=False)["values"][0]
    block = second - first
    assert block == 7_087_872, f"a second block adds {block} parameters to GPT-2, and has 7,087,872"
    stages = [39_383_808 + 3 * block, 3 * block, 3 * block, 3 * block + 38_598_912]
    assert stages == [60_647_424, 21_263_616, 21_263_616, 59_862_528]
    untied = replace(GPT2_SMALL, tie_embeddings=False)
    assert_counts(launch, [{"cfg": untied}], [sum(stages)])


@exercise("param_count", aspect="robustness")
def test_every_kind_of_remainder_is_refused(launch):
    """Query heads, key heads and inner dimensions must each be divisible, and the padding unit must be positive."""
    good = {"vocab_size": 40, "n_layer": 1, "n_head": 8, "d_model": 48, "max_seq": 8, "d_ff": 64}
    calls = [
        {"cfg": GPTConfig(**good), "tp": 3},
        {"cfg": GPTConfig(**good, n_kv_head=2), "tp": 4},
        {"cfg": GPTConfig(**good | {"d_ff": 30}), "tp": 4},
        {"cfg": GPTConfig(**good), "tp": -1},
        {"cfg": GPTConfig(**good), "vocab_multiple": 0},
        {"cfg": GPTConfig(**good), "tp": 8},
    ]
    run = launch(call_each, 1, shared={"function": "param_count", "calls": calls}, process_group=False)
    assert error_types(run["errors"][0]) == ["ValueError"] * 5 + [""]
