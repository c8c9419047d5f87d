"""Hidden tests of exercise `vocab_cross_entropy`."""

import torch

from assignments.ch06_tensor_parallelism import programs_cross_entropy as programs
from assignments.ch06_tensor_parallelism.references_cross_entropy import (
    assert_right,
    assert_traffic,
    case,
    cases_of,
    one_process,
)
from grader.harness import PerRank, assert_matches, assert_raised, exercise


@exercise("vocab_cross_entropy", aspect="equivalence")
def test_four_ranks_of_which_one_is_padding(launch):
    """A rank may have nothing but padding, with and without label smoothing."""
    cases = [case((2, 3), 7, 4, padded_to=12), case((2, 3), 7, 4, padded_to=12, padding=30.0, label_smoothing=0.2)]
    assert_right(launch(programs.losses, 4, per_rank={"cases": cases_of(cases, 4)}), cases, 4)


@exercise("vocab_cross_entropy", aspect="equivalence")
def test_everything_together(launch):
    """Padding, ignored targets, label smoothing and large logits work together."""
    cases = [
        case((4, 5), 10, 3, scale=100.0, ignored=7, padded_to=15, padding=500.0, ignore_index=4, label_smoothing=0.4),
        case((4, 5), 15, 3, ignored=19, label_smoothing=1.0),
    ]
    assert_right(launch(programs.losses, 3, per_rank={"cases": cases_of(cases, 3)}), cases, 3)


@exercise("vocab_cross_entropy", aspect="property")
def test_smoothing_takes_one_number_more(launch):
    """With label smoothing a fourth number per token travels, and still nothing backward."""
    cases = [case((3, 4), 60, 2, label_smoothing=0.1), case((1, 5), 60, 2, ignored=2)]
    run = launch(programs.losses, 2, per_rank={"cases": cases_of(cases, 2)})
    assert_right(run, cases, 2)
    assert_traffic(run.comm, cases)


@exercise("vocab_cross_entropy", aspect="robustness")
def test_one_rank(launch):
    """One rank has all logits."""
    cases = [case((2, 3), 5, 1, ignored=2, label_smoothing=0.1), case((1, 1), 5, 1)]
    assert_right(launch(programs.losses, 1, per_rank={"cases": cases_of(cases, 1)}), cases, 1)


@exercise("vocab_cross_entropy", aspect="robustness")
def test_float32(launch):
    """float32 logits give a loss and a gradient in float32, as accurate as those of functional.cross_entropy."""
    exact = case((2, 3), 10, 2)
    single = exact | {"logits": exact["logits"].float(), "dy": exact["dy"].float()}
    exact |= {"logits": single["logits"].double(), "dy": single["dy"].double()}
    run = launch(programs.losses, 2, per_rank={"cases": cases_of([single], 2)})
    found = [results[0] for results in run["results"]]
    (loss, grad), (best_loss, best_grad) = one_process(**single), one_process(**exact)
    assert_matches(PerRank(one["loss"] for one in found), loss, exact=best_loss, what="loss")
    parts, best = (PerRank(part.contiguous() for part in one.chunk(2, -1)) for one in (grad, best_grad))
    assert_matches(PerRank(one["grads"][0] for one in found), parts, exact=best, what="gradient of the logits")


@exercise("vocab_cross_entropy", aspect="robustness")
def test_what_cannot_be_is_refused_before_anything_is_communicated(launch):
    """Bad targets, sizes and smoothings raise ValueError on every rank, and only the good call communicates."""
    logits = torch.randn(1, 2, 8, dtype=torch.float64)
    good = torch.tensor([[3, 5]])
    tries = {
        "a target that is padding": [torch.tensor([[6, 1]]), {"vocab_size": 6}],
        "the target -100, where -1 is ignored,": [torch.tensor([[-100, 1]]), {"ignore_index": -1}],
        "vocab_size=9 for 8 columns": [good, {"vocab_size": 9}],
        "vocab_size=0": [good, {"vocab_size": 0}],
        "label_smoothing=1.5": [good, {"label_smoothing": 1.5}],
        "label_smoothing=-0.1": [good, {"label_smoothing": -0.1}],
    }
    per_rank = {"logits": [part.contiguous() for part in logits.chunk(2, -1)]}
    run = launch(programs.tries, 2, per_rank=per_rank, shared={"calls": [[good, {}], *tries.values()]})
    due, _ = one_process(logits, good, torch.ones(1, 2, dtype=torch.float64), {})
    assert_matches(PerRank(losses[0] for losses in run["losses"]), due, what="loss of good targets")
    for at, words in enumerate(tries, start=1):
        assert_raised([errors[at] for errors in run["errors"]], f"The call with {words}")
    for rank in range(2):
        elements = sum(op.payload_bytes // op.itemsize for op in run.comm.ops(rank=rank))
        assert elements <= 6, (
            f"Rank {rank} communicates {elements} elements; the one good call takes 6, and the others are to be refused "
            "before anything is communicated."
        )
