"""Public tests of exercise `vocab_embedding`."""

import pytest
import torch

from assignments.ch06_tensor_parallelism import programs_embedding as programs
from assignments.ch06_tensor_parallelism.references_embedding import assert_right, assert_traffic, batch
from course_env.rank_programs import call_each
from grader.harness import PerRank, assert_each_returns, assert_matches, assert_raised, exercise


@exercise("vocab_embedding", aspect="equivalence")
def test_padded_vocabularies(launch):
    """pad_vocab rounds up to a multiple of `multiple * tp`."""
    cases = [(50257, 128, 4, 50688), (50257, 128, 1, 50304), (50304, 128, 1, 50304), (1, 1, 3, 3), (7, 2, 3, 12)]
    calls = [{"vocab_size": v, "multiple": m, "tp": t} for v, m, t, _ in cases]
    run = launch(call_each, 1, shared={"function": "pad_vocab", "calls": calls})
    assert_each_returns(run, "pad_vocab", calls, [due for *_, due in cases])


@exercise("vocab_embedding", aspect="equivalence")
def test_ranges(launch):
    """vocab_range gives the bounds of a rank's tokens; the second bound is not one of them."""
    calls = [{"vocab_size": v, "rank": r, "tp": t} for v, r, t in ((12, 0, 3), (12, 1, 3), (12, 2, 3), (50688, 3, 4))]
    run = launch(call_each, 1, shared={"function": "vocab_range", "calls": calls})
    assert_each_returns(run, "vocab_range", calls, [(0, 4), (4, 8), (8, 12), (38016, 50688)])


@exercise("vocab_embedding", aspect="equivalence")
@pytest.mark.parametrize("size", [2, 3])
def test_like_one_table(launch, size):
    """Rows and the gradient of the table are those of nn.Embedding; two batches add up."""
    table, batches = torch.randn(12, 5, dtype=torch.float64), [batch(12, 5, 3, 4), batch(12, 5, 7)]
    run = launch(programs.look_up, size, shared={"table": table, "batches": batches})
    assert_right(run, table, batches, size)


@exercise("vocab_embedding", aspect="equivalence")
def test_edges_of_the_ranges(launch):
    """First and last token of each rank are found, and tokens that do not occur have a gradient of zeros."""
    table = torch.randn(9, 2, dtype=torch.float64)
    edges = torch.tensor([[0, 2, 3], [5, 6, 8]])
    batches = [[edges, torch.randn(2, 3, 2, dtype=torch.float64)]]
    run = launch(programs.look_up, 3, shared={"table": table, "batches": batches})
    assert_right(run, table, batches, 3)


@exercise("vocab_embedding", aspect="property")
def test_one_all_reduce_of_the_rows(launch):
    """Forward calls one all-reduce of the rows' size, backward nothing; the table never travels."""
    table, batches = torch.randn(30, 3, dtype=torch.float64), [batch(30, 3, 2, 4), batch(30, 3, 8)]
    run = launch(programs.look_up, 3, shared={"table": table, "batches": batches})
    assert_right(run, table, batches, 3)
    assert_traffic(run.comm, 24)


@exercise("vocab_embedding", aspect="robustness")
def test_tokens_outside_of_the_vocabulary(launch):
    """A token that no rank has raises ValueError on every rank."""
    table, good = torch.randn(6, 2, dtype=torch.float64), torch.tensor([5, 0, 3])
    bad = [torch.tensor([1, 6]), torch.tensor([-1])]
    run = launch(programs.tries, 2, shared={"table": table, "batches": [bad[0], good, bad[1]]})
    for at, words in ((0, "token 6 of 6"), (2, "token -1")):
        assert_raised([errors[at] for errors in run["errors"]], f"The lookup of {words}")
    assert_matches(PerRank(ys[1] for ys in run["ys"]), table[good], what="rows of good tokens")


@exercise("vocab_embedding", aspect="robustness")
def test_two_groups_side_by_side(launch):
    """Ranks 3 and 1 share one table, ranks 0 and 2 another."""
    groups, tables = [[3, 1], [0, 2]], [torch.randn(4, 2, dtype=torch.float64) for _ in range(2)]
    batches = [[batch(4, 2, 6)] for _ in range(2)]
    per_rank = {"table": [tables[of] for of in (1, 0, 1, 0)], "batches": [batches[of] for of in (1, 0, 1, 0)]}
    run = launch(programs.look_up, 4, per_rank=per_rank, shared={"groups": groups})
    for number, members in enumerate(groups):
        assert_right(run, tables[number], batches[number], 2, members)
