"""Public tests of exercise `dp_token_loss`."""

import pytest
import torch
from torch.nn import functional

from assignments.ch04_data_parallelism import programs
from course_env.gpt_config import GPTConfig
from course_env.tiny_gpt import TinyGPT
from course_env.toy_models import tensors_of
from grader.harness import PerRank, assert_matches, exercise

IGNORED = -100
GPT = GPTConfig(vocab_size=11, n_layer=1, n_head=2, d_model=8, max_seq=6)


def targets_with(num_valid, shape, vocab_size, ignore_index=IGNORED):
    """Return random targets of which `num_valid`, at random places, are valid."""
    classes = torch.tensor([label for label in range(vocab_size) if label != ignore_index])
    targets = torch.full(shape, ignore_index)
    places = torch.randperm(targets.numel())[:num_valid]
    targets.view(-1)[places] = classes[torch.randint(len(classes), (num_valid,))]
    return targets


def batch(shapes, num_valid, vocab_size, ignore_index=IGNORED):
    """Return logits and targets, one of each for every rank."""
    logits = [torch.randn(*shape, vocab_size, dtype=torch.float64) for shape in shapes]
    counts = zip(num_valid, shapes, strict=True)
    return logits, [targets_with(count, shape, vocab_size, ignore_index) for count, shape in counts]


def losses_and_gradients(logits, targets, ignore_index=IGNORED, groups=None):
    """Return what each rank must return, and N times its share of the gradient of its group's mean over tokens."""
    leaves = [one.clone().requires_grad_() for one in logits]
    losses = [cross_entropy_sum(*pair, ignore_index) for pair in zip(leaves, targets, strict=True)]
    for members in groups or [range(len(logits))]:
        count = max(1, sum(int((targets[rank] != ignore_index).sum()) for rank in members))
        for rank in members:
            losses[rank] = losses[rank] * len(members) / count
    return PerRank(loss.detach() for loss in losses), PerRank(torch.autograd.grad(sum(losses), leaves))


def cross_entropy_sum(logits, targets, ignore_index=IGNORED):
    """Return the sum over the valid tokens of one rank."""
    flat = logits.reshape(-1, logits.shape[-1])
    return functional.cross_entropy(flat, targets.reshape(-1), ignore_index=ignore_index, reduction="sum")


def assert_right(run, logits, targets, ignore_index=IGNORED, groups=None):
    """Loss and gradient are right on every rank, and the arguments are as they were."""
    losses, grads = losses_and_gradients(logits, targets, ignore_index, groups)
    assert_matches(run["loss"], losses, what="loss")
    assert_matches(run["grad"], grads, what="gradient of the logits")
    assert_matches(run["changed"], [False, False], what="whether logits and targets were written to")


def gpt_batch(shapes, num_valid):
    """Return tokens and targets for a TinyGPT, one of each for every rank."""
    tokens = [torch.randint(GPT.vocab_size, shape) for shape in shapes]
    counts = zip(num_valid, shapes, strict=True)
    return tokens, [targets_with(count, shape, GPT.vocab_size) for count, shape in counts]


def gradients_of_the_mean(model, tokens, targets):
    """Return the gradient of the mean over the valid tokens of all ranks, by one process."""
    pairs = zip(tokens, targets, strict=True)
    total = sum(cross_entropy_sum(model(inputs), labels) for inputs, labels in pairs)
    (total / sum(int((labels != IGNORED).sum()) for labels in targets)).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


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


def assert_one_number_is_reduced(comm):
    """Every rank all-reduces one number of at most 8 bytes; nothing follows the barrier that stands before backward."""
    comm.assert_only("all_reduce", "barrier")
    for rank in range(comm.world_size):
        called = [op.op for op in comm.ops(rank=rank)]
        assert called == ["all_reduce", "barrier"], (
            f"Rank {rank} called {called}, the barrier being ours, between forward and backward. "
            "One all-reduce in forward is due, and none in backward."
        )
        (reduced,) = comm.ops("all_reduce", rank=rank)
        assert reduced.inputs == (1,), f"Rank {rank} all-reduced {reduced.inputs} elements; the count is one number."


@exercise("dp_token_loss", aspect="robustness")
def test_a_rank_without_valid_tokens_takes_part(launch):
    """A rank whose tokens are all masked gets 0 and a gradient of zeros, and the others are right."""
    logits, targets = batch([(2, 4)] * 3, [6, 0, 3], 5)
    run = launch(programs.token_loss, 3, per_rank={"logits": logits, "targets": targets})
    assert_right(run, logits, targets)


@exercise("dp_token_loss", aspect="robustness")
def test_two_groups_side_by_side(launch):
    """Ranks 0 and 2 are one group, ranks 1 and 3 another; each takes the mean over its own tokens."""
    groups = [[0, 2], [1, 3]]
    logits, targets = batch([(2, 4)] * 4, [8, 3, 1, 6], 5)
    given = {"logits": logits, "targets": targets}
    run = launch(programs.token_loss, 4, per_rank=given, shared={"groups": groups})
    assert_right(run, logits, targets, groups=groups)
