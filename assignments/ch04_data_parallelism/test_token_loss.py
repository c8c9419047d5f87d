"""Public tests of exercise `dp_token_loss`."""

import pytest
import torch
from torch.nn import functional

from assignments.ch04_data_parallelism import programs_token_loss as programs
from assignments.ch04_data_parallelism.references_token_loss import (
    GPT,
    assert_one_number_is_reduced,
    assert_right,
    assert_right_in,
    batch,
    gpt_batch,
    gradients_of_the_mean,
    losses_and_gradients,
)
from course_env.tiny_gpt import TinyGPT
from course_env.toy_models import tensors_of
from grader.harness import assert_matches, exercise


@exercise("dp_token_loss", aspect="equivalence")
@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_the_average_over_ranks_is_the_mean_over_tokens(launch, world_size):
    """With 2, 5, 8, ... valid tokens per rank, the results average to the mean over all of them, as do the gradients."""
    shapes, num_valid = [(2, 7)] * world_size, [2 + 3 * rank for rank in range(world_size)]
    logits, targets = batch(shapes, num_valid, 5)
    run = launch(programs.token_loss, world_size, per_rank={"logits": logits, "targets": targets})
    assert_right(run, logits, targets)
    whole_batch = functional.cross_entropy(torch.cat(logits).flatten(0, 1), torch.cat(targets).flatten())
    assert_matches(torch.stack(list(run["loss"])).mean(), whole_batch, what="average of the losses")


@exercise("dp_token_loss", aspect="equivalence")
@pytest.mark.parametrize("ignore_index", [-1, 0, 3])
def test_the_ignored_target_is_the_one_that_the_caller_names(launch, ignore_index):
    """A token is valid if its target is not ignore_index, which may be a class as well."""
    logits, targets = batch([(2, 5)] * 2, [4, 7], 6, ignore_index)
    given = {"logits": logits, "targets": targets}
    run = launch(programs.token_loss, 2, per_rank=given, shared={"options": {"ignore_index": ignore_index}})
    assert_right(run, logits, targets, ignore_index)


@exercise("dp_token_loss", aspect="equivalence")
def test_ddp_gets_the_gradient_of_the_whole_batch(launch):
    """The gradients that PyTorch's DDP averages are those of one process with all tokens, for a TinyGPT on 3 ranks."""
    model = TinyGPT(GPT).double()
    tokens, targets = gpt_batch([(2, 6)] * 3, [12, 1, 4])
    given = {"tokens": tokens, "targets": targets}
    run = launch(programs.token_loss_under_ddp, 3, per_rank=given, shared={"model": GPT, "values": tensors_of(model)})
    assert_matches(run["grads"], gradients_of_the_mean(model, tokens, targets), what="gradients")


@exercise("dp_token_loss", aspect="property")
def test_only_the_count_is_communicated(launch):
    """Of 100 KB of logits one number is all-reduced, before backward."""
    logits, targets = batch([(8, 40)] * 3, [320, 7, 100], 40)
    run = launch(programs.token_loss, 3, per_rank={"logits": logits, "targets": targets})
    assert_right(run, logits, targets)
    assert_one_number_is_reduced(run.comm)


@exercise("dp_token_loss", aspect="robustness")
def test_a_rank_without_valid_tokens_takes_part(launch):
    """A rank whose tokens are all masked gets 0 and a gradient of zeros, and the others are right."""
    logits, targets = batch([(2, 4)] * 3, [6, 0, 3], 5)
    run = launch(programs.token_loss, 3, per_rank={"logits": logits, "targets": targets})
    assert_right(run, logits, targets)


@exercise("dp_token_loss", aspect="robustness")
def test_no_rank_has_a_valid_token(launch):
    """If all tokens of all ranks are masked, every rank gets 0 and a gradient of zeros."""
    logits, targets = batch([(1, 4), (2, 2)], [0, 0], 5)
    run = launch(programs.token_loss, 2, per_rank={"logits": logits, "targets": targets})
    assert_right(run, logits, targets)


@exercise("dp_token_loss", aspect="robustness")
def test_any_strides(launch):
    """Logits and targets whose sequences come first in memory give the same loss and gradient."""
    logits, targets = batch([(3, 4), (2, 6)], [5, 12], 7)
    given = {"logits": logits, "targets": targets}
    run = launch(programs.token_loss, 2, per_rank=given, shared={"transposed": True})
    assert_right(run, logits, targets)


@exercise("dp_token_loss", aspect="robustness")
def test_impossible_classes(launch):
    """A class whose logits are -inf everywhere adds nothing, and no more does any class of a token that is not valid."""
    logits, targets = batch([(2, 4)] * 2, [6, 0], 5)
    for one, labels in zip(logits, targets, strict=True):
        one[..., 4] = -torch.inf
        labels[labels == 4] = 3
        one[..., 0][labels < 0] = -torch.inf
    run = launch(programs.token_loss, 2, per_rank={"logits": logits, "targets": targets})
    assert_right(run, logits, targets)


@exercise("dp_token_loss", aspect="robustness")
def test_two_groups_side_by_side(launch):
    """Ranks 0 and 2 are one group, ranks 1 and 3 another; each takes the mean over its own tokens."""
    groups = [[0, 2], [1, 3]]
    logits, targets = batch([(2, 4)] * 4, [8, 3, 1, 6], 5)
    given = {"logits": logits, "targets": targets}
    run = launch(programs.token_loss, 4, per_rank=given, shared={"groups": groups})
    assert_right(run, logits, targets, groups=groups)


@exercise("dp_token_loss", aspect="robustness")
def test_bfloat16(launch):
    """The loss of bfloat16 logits is computed and returned in float32; its gradient has the logits' dtype."""
    logits, targets = batch([(8, 50)] * 2, [399, 300], 9)
    narrow = [one.bfloat16() for one in logits]
    run = launch(programs.token_loss, 2, per_rank={"logits": narrow, "targets": targets})
    assert_right_in(run, narrow, targets)
