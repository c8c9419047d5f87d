"""Hidden tests of exercise `vocab_embedding`."""

import torch

from assignments.ch06_tensor_parallelism import programs_embedding as programs
from assignments.ch06_tensor_parallelism.references_embedding import assert_right, assert_traffic, batch
from course_env.rank_programs import call_each
from grader.harness import PerRank, assert_each_raises, assert_each_returns, assert_matches, assert_raised, exercise


@exercise("vocab_embedding", aspect="equivalence")
def test_other_vocabularies(launch):
    """pad_vocab and vocab_range are right for every small size."""
    pads = [(v, m, t) for v in range(1, 30, 3) for m in (1, 4) for t in (1, 2, 5)]
    calls = [{"vocab_size": v, "multiple": m, "tp": t} for v, m, t in pads]
    due = [next(n for n in range(v, v + m * t) if n % (m * t) == 0) for v, m, t in pads]
    assert_each_returns(launch(call_each, 1, shared={"function": "pad_vocab", "calls": calls}), "pad_vocab", calls, due)
    calls = [{"vocab_size": 3 * t, "rank": r, "tp": t} for t in (1, 2, 5) for r in range(t)]
    due = [(3 * call["rank"], 3 * call["rank"] + 3) for call in calls]
    run = launch(call_each, 1, shared={"function": "vocab_range", "calls": calls})
    assert_each_returns(run, "vocab_range", calls, due)


@exercise("vocab_embedding", aspect="equivalence")
def test_a_rank_without_tokens(launch):
    """A batch may hold tokens of one rank alone; the others' gradients are zeros, not None."""
    table = torch.randn(8, 3, dtype=torch.float64)
    batches = [[torch.tensor([[7, 6, 7]]), torch.randn(1, 3, 3, dtype=torch.float64)]]
    assert_right(launch(programs.look_up, 4, shared={"table": table, "batches": batches}), table, batches, 4)


@exercise("vocab_embedding", aspect="property")
def test_a_large_table_stays_where_it_is(launch):
    """What is communicated depends on the batch, not on the vocabulary."""
    table, batches = torch.randn(4000, 8, dtype=torch.float64), [batch(4000, 8, 5)]
    run = launch(programs.look_up, 2, shared={"table": table, "batches": batches})
    assert_right(run, table, batches, 2)
    assert_traffic(run.comm, 40)


@exercise("vocab_embedding", aspect="robustness")
def test_one_rank_and_one_token(launch):
    """One rank holds the whole table; a tensor of tokens may have no dims."""
    table, batches = torch.randn(5, 2, dtype=torch.float64), [batch(5, 2), batch(5, 2, 0, 3)]
    assert_right(launch(programs.look_up, 1, shared={"table": table, "batches": batches}), table, batches, 1)


@exercise("vocab_embedding", aspect="robustness")
def test_impossible_sizes_are_refused(launch):
    """pad_vocab and vocab_range raise ValueError for sizes and ranks that cannot be, and answer the others."""
    calls = [{"vocab_size": v, "multiple": m, "tp": t} for v, m, t in ((0, 1, 1), (5, 0, 2), (5, 2, 0), (5, 2, 2))]
    run = launch(call_each, 1, shared={"function": "pad_vocab", "calls": calls})
    assert_each_raises(run, "pad_vocab", calls, ["ValueError"] * 3 + [""])
    assert_matches(PerRank(values[3] for values in run["values"]), 8, what="pad_vocab(5, 2, 2)")
    tries = ((7, 0, 2), (6, 2, 2), (6, -1, 2), (6, 0, 0), (6, 1, 2))
    calls = [{"vocab_size": v, "rank": r, "tp": t} for v, r, t in tries]
    run = launch(call_each, 1, shared={"function": "vocab_range", "calls": calls})
    assert_each_raises(run, "vocab_range", calls, ["ValueError"] * 4 + [""])
    assert_matches(PerRank(values[4] for values in run["values"]), (3, 6), what="vocab_range(6, 1, 2)")


@exercise("vocab_embedding", aspect="robustness")
def test_what_cannot_be_cut_or_loaded_is_refused(launch):
    """The constructor refuses a vocabulary that N does not divide, and load_full a table of another shape."""
    good = torch.randn(6, 2, dtype=torch.float64)
    tables = [good, torch.randn(3, 2, dtype=torch.float64), torch.randn(6, 1, dtype=torch.float64)]
    run = launch(programs.constructions, 2, shared={"sizes": [[7, 2], [6, 3]], "tables": tables})
    assert_raised([errors[0] for errors in run["errors"]], "VocabParallelEmbedding(7, 2) on 2 ranks")
    assert_matches(run["shapes"], [None, [3, 3]], what="shapes of weight")
    for at, words in ((1, "(3, 2)"), (2, "(6, 1)")):
        assert_raised([errors[at] for errors in run["refused"]], f"load_full of a table {words}, where (6, 2) is due,")
    assert_matches(run["weight"], PerRank(good.chunk(2)), what="weight")


@exercise("vocab_embedding", aspect="robustness")
def test_a_bad_token_stops_everything_before_it_is_communicated(launch):
    """The ranks refuse a batch with a bad token before the all-reduce of any rank."""
    table = torch.randn(4, 2, dtype=torch.float64)
    good = torch.tensor([3, 1])
    run = launch(programs.tries, 2, shared={"table": table, "batches": [torch.tensor([[0, 4]]), good]})
    assert_raised([errors[0] for errors in run["errors"]], "The lookup of token 4 of 4")
    assert_matches(PerRank(ys[1] for ys in run["ys"]), table[good], what="rows of good tokens")
    assert [run.comm.count("all_reduce", rank=rank) for rank in range(2)] == [1, 1], (
        "Tokens are the same on all ranks, so each can refuse them before it communicates."
    )
