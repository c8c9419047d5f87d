"""Public tests of exercise `vocab_cross_entropy`."""

import pytest
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
@pytest.mark.parametrize("size", [2, 3])
def test_like_cross_entropy(launch, size):
    """Losses and gradients are those of functional.cross_entropy on whole logits."""
    cases = [case((2, 3), 12, size)]
    assert_right(launch(programs.losses, size, per_rank={"cases": cases_of(cases, size)}), cases, size)


@exercise("vocab_cross_entropy", aspect="equivalence")
def test_ignored_targets(launch):
    """A target that is ignored has loss 0 and no gradient, whichever integer stands for it."""
    cases = [case((3, 4), 6, 2, ignored=5), case((3, 4), 6, 2, ignored=4, ignore_index=2)]
    cases.append(case((2, 2), 6, 2, ignored=4, ignore_index=-1))
    assert_right(launch(programs.losses, 2, per_rank={"cases": cases_of(cases, 2)}), cases, 2)


@exercise("vocab_cross_entropy", aspect="equivalence")
def test_padding_takes_no_part(launch):
    """Columns from vocab_size on have no probability and no gradient, however large they are."""
    cases = [case((2, 3), 7, 3, padded_to=9), case((2, 3), 5, 3, padded_to=9, padding=40.0)]
    assert_right(launch(programs.losses, 3, per_rank={"cases": cases_of(cases, 3)}), cases, 3)


@exercise("vocab_cross_entropy", aspect="equivalence")
def test_label_smoothing(launch):
    """Label smoothing takes its mean over the real vocabulary of all ranks."""
    cases = [case((2, 3), 8, 2, label_smoothing=0.3), case((2, 3), 5, 2, padded_to=8, ignored=2, label_smoothing=0.1)]
    assert_right(launch(programs.losses, 2, per_rank={"cases": cases_of(cases, 2)}), cases, 2)


@exercise("vocab_cross_entropy", aspect="property")
def test_three_numbers_per_token(launch):
    """Whatever the vocabulary is, forward all-reduces at most three numbers per token, and backward nothing."""
    cases = [case((2, 3), 300, 3)]
    run = launch(programs.losses, 3, per_rank={"cases": cases_of(cases, 3)})
    assert_right(run, cases, 3)
    assert_traffic(run.comm, cases)


@exercise("vocab_cross_entropy", aspect="robustness")
def test_large_logits(launch):
    """Logits of tens of thousands give finite losses, and the right ones."""
    cases = [case((2, 3), 8, 2, scale=1e4), case((1, 2), 8, 2, scale=3e5)]
    assert_right(launch(programs.losses, 2, per_rank={"cases": cases_of(cases, 2)}), cases, 2)


@exercise("vocab_cross_entropy", aspect="robustness")
def test_bad_targets(launch):
    """A target outside of the vocabulary, or in its padding, raises ValueError; 0 and the last token do not."""
    logits = torch.randn(1, 2, 8, dtype=torch.float64)
    good = torch.tensor([[0, 7]])
    calls = [[torch.tensor([[1, 8]]), {}], [good, {}], [torch.tensor([[-1, 2]]), {}]]
    calls.append([torch.tensor([[6, 1]]), {"vocab_size": 6}])
    per_rank = {"logits": [part.contiguous() for part in logits.chunk(2, -1)]}
    run = launch(programs.tries, 2, per_rank=per_rank, shared={"calls": calls})
    for at, words in (
        (0, "the target 8 of 8"),
        (2, "the target -1, where -100 is ignored,"),
        (3, "the target 6 of 6 real ones"),
    ):
        assert_raised([errors[at] for errors in run["errors"]], f"The call with {words}")
    due, _ = one_process(logits, good, torch.ones(1, 2, dtype=torch.float64), {})
    assert_matches(PerRank(losses[1] for losses in run["losses"]), due, what="loss of good targets")


@exercise("vocab_cross_entropy", aspect="robustness")
def test_two_groups_side_by_side(launch):
    """Ranks 2 and 0 share one vocabulary, ranks 1 and 3 another."""
    groups, cases = [[2, 0], [1, 3]], [[case((2, 2), 6, 2)], [case((2, 2), 6, 2)]]
    parts = [cases_of(one, 2) for one in cases]
    per_rank = {"cases": [parts[0][1], parts[1][0], parts[0][0], parts[1][1]]}
    run = launch(programs.losses, 4, per_rank=per_rank, shared={"groups": groups})
    for number, members in enumerate(groups):
        assert_right(run, cases[number], 2, members)
