"""Hidden tests of exercise `dp_token_loss`."""

import pytest
import torch

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
from grader.harness import PerRank, assert_arguments_kept, assert_matches, exercise


def drawn(shapes):
    """Return a number of valid tokens for each shape, from 1 to all."""
    return [int(torch.randint(1, rows * length + 1, ())) for rows, length in shapes]


@exercise("dp_token_loss", aspect="equivalence")
@pytest.mark.parametrize("world_size", [2, 4])
def test_ranks_with_batches_of_different_shapes(launch, world_size):
    """Ranks may hold different numbers of rows, of different lengths."""
    shapes = [(1 + rank, 9 - 2 * rank) for rank in range(world_size)]
    logits, targets = batch(shapes, drawn(shapes), 7)
    run = launch(programs.token_loss, world_size, per_rank={"logits": logits, "targets": targets})
    assert_right(run, logits, targets)


@exercise("dp_token_loss", aspect="equivalence")
@pytest.mark.parametrize("ignore_index", [0, -1])
def test_any_target_can_be_the_one_to_ignore(launch, ignore_index):
    """The target that is ignored is the one that the caller names."""
    shapes = [(2, 5)] * 3
    logits, targets = batch(shapes, drawn(shapes), 6, ignore_index)
    given = {"logits": logits, "targets": targets}
    run = launch(programs.token_loss, 3, per_rank=given, shared={"options": {"ignore_index": ignore_index}})
    assert_right(run, logits, targets, ignore_index)


@exercise("dp_token_loss", aspect="equivalence")
def test_ddp_with_a_rank_without_tokens(launch):
    """In each of two groups, DDP gets the gradient of all tokens of the group, even if one of its ranks has none."""
    model = TinyGPT(GPT).double()
    values = tensors_of(model)
    tokens, targets = gpt_batch([(1, 6), (2, 5), (2, 6), (3, 4)], [5, 0, 11, 7])
    given = {"tokens": tokens, "targets": targets}
    shared = {"model": GPT, "values": values, "groups": [[0, 2], [1, 3]]}
    run = launch(programs.token_loss_under_ddp, 4, per_rank=given, shared=shared)
    expected = [gradients_in(values, tokens, targets, members) for members in ([0, 2], [1, 3])]
    assert_matches(run["grads"], PerRank(expected[rank % 2] for rank in range(4)), what="gradients")


def gradients_in(values, tokens, targets, members):
    """Return the gradients that are due in the group of `members`."""
    model = TinyGPT(GPT).double()
    model.load_state_dict(values, strict=False)
    return gradients_of_the_mean(model, [tokens[rank] for rank in members], [targets[rank] for rank in members])


@exercise("dp_token_loss", aspect="property")
def test_masked_ranks_communicate_as_the_others(launch):
    """What is communicated does not depend on how many tokens a rank has."""
    logits, targets = batch([(4, 50), (4, 50), (1, 2)], [0, 200, 0], 60)
    run = launch(programs.token_loss, 3, per_rank={"logits": logits, "targets": targets})
    assert_right(run, logits, targets)
    assert_one_number_is_reduced(run.comm)


@exercise("dp_token_loss", aspect="robustness")
def test_no_valid_token_anywhere(launch):
    """If every token of every rank is masked, every rank gets 0 and a gradient of zeros."""
    logits, targets = batch([(2, 3)] * 2, [0, 0], 5)
    run = launch(programs.token_loss, 2, per_rank={"logits": logits, "targets": targets})
    assert_right(run, logits, targets)


@exercise("dp_token_loss", aspect="robustness")
def test_a_rank_without_rows(launch):
    """A rank whose batch has no row at all takes part."""
    logits, targets = batch([(2, 3), (0, 3), (1, 3)], [4, 0, 3], 5)
    run = launch(programs.token_loss, 3, per_rank={"logits": logits, "targets": targets})
    assert_right(run, logits, targets)


@exercise("dp_token_loss", aspect="robustness")
def test_impossible_classes_and_strides_in_float32(launch):
    """Transposed float32 logits with some classes at -inf, which differ from token to token, are as good as any."""
    logits, targets = batch([(3, 5), (1, 2), (2, 2)], [9, 0, 4], 8)
    for one, labels in zip(logits, targets, strict=True):
        impossible = torch.rand(one.shape) < 0.3
        possible = torch.where(labels < 0, torch.randint_like(labels, one.shape[-1]), labels)
        impossible.scatter_(-1, possible.unsqueeze(-1), value=False)
        one.masked_fill_(impossible, -torch.inf)
    narrow = [one.float() for one in logits]
    given = {"logits": narrow, "targets": targets}
    run = launch(programs.token_loss, 3, per_rank=given, shared={"transposed": True})
    assert_right_in(run, narrow, targets)


@exercise("dp_token_loss", aspect="robustness")
def test_without_gradients(launch):
    """Logits that need no gradient, as in an evaluation, give the same value and stay as they were."""
    logits, targets = batch([(2, 3)] * 2, [4, 6], 5)
    given = {"logits": logits, "targets": targets}
    run = launch(programs.token_loss, 2, per_rank=given, shared={"with_grad": False})
    assert_matches(run["loss"], losses_and_gradients(logits, targets)[0], what="loss")
    assert_arguments_kept(run, "logits", "targets")


@exercise("dp_token_loss", aspect="robustness")
def test_float32(launch):
    """float32 logits give a float32 loss."""
    logits, targets = batch([(8, 16)] * 2, [100, 11], 9)
    narrow = [one.float() for one in logits]
    run = launch(programs.token_loss, 2, per_rank={"logits": narrow, "targets": targets})
    assert_right_in(run, narrow, targets)


@exercise("dp_token_loss", aspect="robustness")
def test_float16(launch):
    """The loss of float16 logits is computed and returned in float32; its gradient has the logits' dtype."""
    logits, targets = batch([(8, 50)] * 2, [399, 300], 9)
    narrow = [one.half() for one in logits]
    run = launch(programs.token_loss, 2, per_rank={"logits": narrow, "targets": targets})
    assert_right_in(run, narrow, targets)
