"""Baselines and assertions that the public and the hidden tests of token_loss.py share."""

import torch
from torch.nn import functional

from assignments.ch04_data_parallelism.references import assert_not_known
from course_env.gpt_config import GPTConfig
from grader.harness import PerRank, assert_arguments_kept, assert_matches

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
    assert_not_known(run["loss"], losses, _mistaken(logits, targets, ignore_index, groups))
    assert_matches(run["loss"], losses, what="loss")
    assert_matches(run["grad"], grads, what="gradient of the logits")
    assert_arguments_kept(run, "logits", "targets")


def assert_right_in(run, narrow, targets):
    """Assert a float32 loss and a gradient in the dtype of logits narrower than float64, as near as these dtypes allow."""
    exact, exact_grads = losses_and_gradients([one.double() for one in narrow], targets)
    losses, _ = losses_and_gradients([one.float() for one in narrow], targets)
    _, grads = losses_and_gradients(narrow, targets)
    assert_matches(run["loss"], losses, exact=exact, what="loss")
    assert_matches(run["grad"], grads, exact=exact_grads, what="gradient of the logits")


def _mistaken(logits, targets, ignore_index, groups):
    """Return the losses that known mistakes give, for each rank."""
    size, groups = len(targets), groups or [range(len(targets))]
    sums = [cross_entropy_sum(*pair, ignore_index) for pair in zip(logits, targets, strict=True)]
    valid = [int((one != ignore_index).sum()) for one in targets]
    tokens = [one.numel() for one in targets]
    group_of = [next(members for members in groups if rank in members) for rank in range(size)]
    in_group = [sum(valid[rank] for rank in members) for members in group_of]
    asked = (
        "" if ignore_index == IGNORED else f" Is a token valid if its target is not {ignore_index}, or by another rule?"
    )
    every = range(size)

    def losses(factor, count):
        return [sums[rank] * factor(rank) / max(1, count(rank)) for rank in every]

    def of_group(rank):
        return len(group_of[rank])

    of_all_tokens = losses(of_group, lambda rank: sum(tokens[member] for member in group_of[rank]))
    summed = [sum(sums[member] for member in group_of[rank]) / max(1, in_group[rank]) for rank in every]
    return {
        f"All tokens were counted as valid, also those with the target {ignore_index}.{asked}": of_all_tokens,
        "Each rank returned the mean over its own valid tokens.": losses(lambda _: 1, lambda rank: valid[rank]),
        "The factor N is missing: averaging over the ranks divides by N.": losses(lambda _: 1, lambda r: in_group[r]),
        "N is the number of all ranks, and not that of the group.": losses(lambda _: size, lambda r: in_group[r]),
        "The valid tokens of all ranks were counted, and not those of the group.": losses(
            of_group, lambda _: sum(valid)
        ),
        "Each rank returned the mean over all ranks' tokens. Its own part of it is due, times N: DDP takes the average.": summed,
        "The sum over the ranks was divided by N, where the factor N is due.": [
            one / of_group(rank) for rank, one in enumerate(summed)
        ],
    }


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
