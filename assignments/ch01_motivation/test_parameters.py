"""Public tests of exercise `param_count`."""

from dataclasses import replace

import pytest

from assignments.ch01_motivation.programs import call_each
from assignments.ch01_motivation.references_parameters import assert_counts
from course_env.gpt_config import GPT2_MEDIUM_345M, GPT2_SMALL, GPTConfig
from grader.harness import assert_each_raises, exercise


@exercise("param_count", aspect="equivalence")
def test_whole_models_are_counted_exactly(launch):
    """The count is that of TinyGPT, with and without biases, with shared key heads, with a tied and a separate head."""
    configs = [
        GPTConfig(vocab_size=57, n_layer=2, n_head=4, d_model=24, max_seq=11),
        GPTConfig(
            vocab_size=40, n_layer=3, n_head=6, n_kv_head=2, d_model=36, d_ff=60, max_seq=8, tie_embeddings=False
        ),
        GPTConfig(vocab_size=31, n_layer=1, n_head=3, n_kv_head=1, d_model=18, d_ff=24, max_seq=9, bias=False),
        GPTConfig(
            vocab_size=100,
            n_layer=2,
            n_head=8,
            n_kv_head=4,
            d_model=32,
            d_ff=36,
            max_seq=13,
            tie_embeddings=False,
            bias=False,
        ),
    ]
    why = "TinyGPT(cfg) has as many: print the shapes of its named_parameters() and add them up"
    assert_counts(launch, [{"cfg": cfg} for cfg in configs], [16_128, 27_576, 2_556, 17_888], why)


@exercise("param_count", aspect="equivalence")
@pytest.mark.parametrize(("tie", "expected"), [(True, 124_439_808), (False, 163_037_184)])
def test_gpt2_small(launch, tie, expected):
    """GPT-2 small has 124,439,808 parameters; with an output head of its own it would have 163,037,184."""
    assert_counts(launch, [{"cfg": replace(GPT2_SMALL, tie_embeddings=tie)}], [expected])


@exercise("param_count", aspect="equivalence")
def test_the_vocabulary_is_padded(launch):
    """A vocabulary of 50 is padded to 64 for vocab_multiple=16, in the embedding and in a separate head; 48 are not padded."""
    shape = {"n_layer": 2, "n_head": 4, "d_model": 16, "max_seq": 8}
    padded = GPTConfig(vocab_size=50, tie_embeddings=False, **shape)
    calls = [{"cfg": cfg, "vocab_multiple": 16} for cfg in (padded, GPTConfig(vocab_size=48, **shape))]
    assert_counts(launch, calls, [8_768, 7_488], "the vocabulary is padded to a multiple of vocab_multiple * tp")


@exercise("param_count", aspect="property")
def test_a_rank_holds_its_share_of_what_is_split(launch):
    """Heads, inner dimensions and the vocabulary are split; positions, LayerNorms and two biases are on every rank."""
    calls = [
        {"cfg": GPTConfig(vocab_size=40, n_layer=2, n_head=4, d_model=16, max_seq=8), "tp": 2},
        {
            "cfg": GPTConfig(
                vocab_size=40, n_layer=1, n_head=8, n_kv_head=4, d_model=32, d_ff=24, max_seq=9, tie_embeddings=False
            ),
            "tp": 4,
        },
        {"cfg": GPTConfig(vocab_size=40, n_layer=3, n_head=4, d_model=24, max_seq=8, bias=False), "tp": 4},
    ]
    assert_counts(launch, calls, [3_856, 2_358, 5_952])


@exercise("param_count", aspect="property")
def test_a_known_model_on_four_ranks(launch):
    """A GPT-2 of 345 million on four ranks has 89,714,688 parameters on each, as its training log says: 431 rows are padding."""
    padded = replace(GPT2_MEDIUM_345M, vocab_size=50_257 + 431)
    calls = [{"cfg": GPT2_MEDIUM_345M, "tp": 4, "vocab_multiple": 128}, {"cfg": padded, "tp": 4}]
    assert_counts(launch, calls, [89_714_688] * 2, "50,257 words are padded to 50,688, a multiple of 128 * 4")


@exercise("param_count", aspect="property")
def test_a_million_layers_take_no_longer(launch):
    """A model of a million blocks is counted at once: the count is computed, and no model is made."""
    cfg = replace(GPT2_SMALL, n_layer=10**6)
    assert_counts(launch, [{"cfg": cfg}], [124_439_808 + (10**6 - 12) * 7_087_872])


@exercise("param_count", aspect="robustness")
def test_what_cannot_be_split_is_refused(launch):
    """A tp that does not divide the heads, the key heads or the inner dimension raises ValueError, and so does a tp of 0."""
    cfg = GPTConfig(vocab_size=40, n_layer=1, n_head=6, n_kv_head=2, d_model=24, d_ff=36, max_seq=8)
    wide = GPTConfig(vocab_size=40, n_layer=1, n_head=4, d_model=24, d_ff=30, max_seq=8)
    calls = [{"cfg": cfg, "tp": tp} for tp in (0, 3, 4, 2)]
    calls += [{"cfg": wide, "tp": 4}, {"cfg": cfg, "vocab_multiple": 0}]
    run = launch(call_each, 1, shared={"function": "param_count", "calls": calls}, process_group=False)
    refused = "ValueError"
    assert_each_raises(run, "param_count", calls, [refused, refused, refused, "", refused, refused])
