"""A GPTConfig or a Layout that exists describes a model, or a run, that could."""

import pytest

from course_env.gpt_config import GPTConfig
from course_env.layout import Layout, MemReport

SMALL = {"vocab_size": 40, "n_layer": 2, "n_head": 4, "d_model": 16, "max_seq": 8}


def test_what_is_left_open_follows_from_the_rest():
    """The inner width and the number of key heads default to what most models use."""
    cfg = GPTConfig(**SMALL)

    assert (64, 4, 4) == (cfg.d_ff, cfg.n_kv_head, cfg.head_dim)
    assert (50, 2) == (GPTConfig(**SMALL, d_ff=50).d_ff, GPTConfig(**SMALL, n_kv_head=2).n_kv_head)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"n_layer": 0}, "n_layer must be at least 1, not 0"),
        ({"n_head": 3}, "n_head must divide d_model, and 3 does not divide 16"),
        ({"n_kv_head": 3}, "n_kv_head must divide n_head, and 3 does not divide 4"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), not 1.0"),
    ],
)
def test_no_impossible_model_is_made(changed, message):
    """One error names the field, its value and what is allowed."""
    with pytest.raises(ValueError, match=message):
        GPTConfig(**SMALL | changed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"tp": 0}, "tp must be at least 1, not 0"),
        ({"zero": 4}, r"zero must be one of \(0, 1, 2, 3\), not 4"),
        ({"recompute": "all"}, "recompute must be one of"),
        ({"sp": True}, "sp needs tp > 1"),
    ],
)
def test_no_impossible_layout_is_made(changed, message):
    """One error names the field, its value and what is allowed."""
    with pytest.raises(ValueError, match=message):
        Layout(**changed)


def test_sizes_of_a_layout():
    """Accelerators and sequences per step are products; the memory in all is a sum."""
    layout = Layout(tp=2, pp=3, dp=4, micro_batch=5, n_micro=6)

    assert (24, 120) == (layout.world_size, layout.global_batch)
    assert 10 == MemReport(parameters=1, gradients=2, optimizer=3, activations=4).total
