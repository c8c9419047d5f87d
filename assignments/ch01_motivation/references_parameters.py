"""Baselines and assertions that the public and the hidden tests of parameters.py share."""

from assignments.ch01_motivation.programs import call_each
from assignments.ch01_motivation.references import telling
from grader.harness import assert_each_returns


def assert_counts(launch, calls, expected, why=None):
    """Every call returns the whole number that is expected of it."""
    run = launch(call_each, 1, shared={"function": "param_count", "calls": calls}, process_group=False)
    wrong = {}
    for call, right in zip(calls, expected, strict=True):
        for name, more in _off_by(**call).items():
            wrong.setdefault(name, []).append(right + more)
    assert_each_returns(run, "param_count", calls, expected, why=why, mistakes=telling(wrong, expected))


def _off_by(cfg, tp=1, vocab_multiple=1):
    """Return by how much each of some mistakes makes the count of one rank too large."""
    d, layers, unit = cfg.d_model, cfg.n_layer, vocab_multiple * tp
    padding = -cfg.vocab_size % unit
    tables = (1 if cfg.tie_embeddings else 2) * d
    table = (cfg.vocab_size + padding) // tp * d
    of_rows = layers * ((cfg.n_head + 2 * cfg.n_kv_head) * cfg.head_dim + cfg.d_ff)
    of_columns, norms, positions = layers * 2 * d, (2 * layers + 1) * 2 * d, cfg.max_seq * d
    elsewhere = {"biases": of_columns * cfg.bias, "norms": norms, "positions": positions}
    split = {name: size // tp - size for name, size in elsewhere.items()}
    key_heads = layers * cfg.n_kv_head * cfg.head_dim
    missing_heads = cfg.n_head - cfg.n_kv_head
    return {
        "an output head tied to the embedding is counted a second time": table * cfg.tie_embeddings,
        "an output head of its own is left out": -table * (not cfg.tie_embeddings),
        "the last LayerNorm is left out": -2 * d,
        "the position embedding is left out": -positions,
        "bias=False takes the biases of LayerNorms, too, which always have them": -norms // 2 * (not cfg.bias),
        "linear layers have biases though bias=False": (of_rows // tp + of_columns) * (not cfg.bias),
        "the biases of the linear layers are left out": -(of_rows // tp + of_columns) * cfg.bias,
        "keys and values have as many heads as queries": layers
        * 2
        * missing_heads
        * cfg.head_dim
        // tp
        * (d + cfg.bias),
        "keys or values are left out: both have n_kv_head heads": -(key_heads // tp) * (d + cfg.bias),
        "the key and value heads are counted whole, and they are split like the query heads": (
            2 * (key_heads - key_heads // tp) * (d + cfg.bias)
        ),
        "d_ff is taken for 4 * d_model": layers * (4 * d - cfg.d_ff) // tp * (2 * d + cfg.bias),
        "the vocabulary is not padded": -padding // tp * tables,
        "a vocabulary that is a multiple already is padded by one more": (unit // tp if padding == 0 else 0) * tables,
        "the vocabulary is padded to a multiple of vocab_multiple alone, without tp": (
            (cfg.vocab_size + -cfg.vocab_size % vocab_multiple) // tp * tables - table * tables // d
        ),
        "the biases of the layers whose columns are split are divided by tp, and every rank holds them whole": split[
            "biases"
        ],
        "the LayerNorms are divided by tp, and every rank holds them whole": split["norms"],
        "the position embedding is divided by tp, and every rank holds it whole": split["positions"],
        "everything is divided by tp, also what every rank holds whole": sum(split.values()),
        "the biases of the layers whose rows are split are counted whole, and they are split with the rows": (
            (of_rows - of_rows // tp) * cfg.bias
        ),
        "the vocabulary is not split": (tp - 1) * table * tables // d,
    }
