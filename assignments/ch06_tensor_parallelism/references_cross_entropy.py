"""Baselines and assertions that the public and the hidden tests of cross_entropy.py share."""

import torch
from torch.nn import functional

from grader.harness import PerRank, assert_matches, assert_unchanged


def case(shape, vocab, size, *, scale=3.0, ignored=0, padded_to=None, padding=0.0, **options):
    """Return one case of `programs.losses` with whole logits (b, s, V), of which `cases_of` gives each rank its part.

    vocab: the number of real tokens; padded_to: V, filled up with numbers about `padding`
    ignored: how many of the targets are to be ignored
    """
    logits = scale * torch.randn(*shape, vocab, dtype=torch.float64)
    targets = torch.randint(vocab, shape)
    if ignored:
        places = torch.randperm(targets.numel())[:ignored]
        targets.view(-1)[places] = options.get("ignore_index", -100)
    if padded_to is not None:
        more = padding + torch.randn(*shape, padded_to - vocab, dtype=torch.float64)
        logits, options = torch.cat([logits, more], -1), options | {"vocab_size": vocab}
    assert logits.shape[-1] % size == 0, f"{size} ranks cannot share {logits.shape[-1]} columns evenly."
    return {"logits": logits, "targets": targets, "dy": torch.randn(shape, dtype=torch.float64), "options": options}


def cases_of(cases, size):
    """Return for each rank its cases, with its part of the logits."""
    return [
        [one | {"logits": one["logits"].chunk(size, -1)[rank].contiguous()} for one in cases] for rank in range(size)
    ]


def one_process(logits, targets, dy, options):
    """Return the loss of each token, and the gradient of the whole logits."""
    leaf = logits.clone().requires_grad_()
    real = leaf[..., : options.get("vocab_size", logits.shape[-1])]
    rest = {name: value for name, value in options.items() if name != "vocab_size"}
    loss = functional.cross_entropy(real.flatten(0, -2), targets.flatten(), reduction="none", **rest).view(dy.shape)
    loss.backward(dy)
    return loss.detach(), leaf.grad


def assert_right(run, cases, size, members=None):
    """Each rank has the losses of one process, and its part of the gradient, each time; its arguments are as they were.

    members: the ranks of the group, in group order; default: all
    """
    members = members or range(size)
    for number, one in enumerate(cases):
        loss, grad = one_process(**one)
        found = [run["results"][rank][number] for rank in members]
        of = f" of case {number}, {one['options']}" if one["options"] else ""
        wrong = _wrong_losses(one, size)
        assert_matches(PerRank(result["loss"] for result in found), loss, what=f"loss{of}", mistakes=wrong)
        for at, which in enumerate(("gradient of the logits", "gradient of the logits in a second backward pass")):
            parts = PerRank(part.contiguous() for part in grad.chunk(size, -1))
            wrong = _wrong_gradients(one, grad, size)
            assert_matches(PerRank(result["grads"][at] for result in found), parts, what=which + of, mistakes=wrong)
        parts = PerRank(part.contiguous() for part in one["logits"].chunk(size, -1))
        assert_unchanged(PerRank(result["logits"] for result in found), parts, "logits")
        assert_unchanged(PerRank(result["targets"] for result in found), one["targets"], "targets")


def _wrong_losses(one, size):
    """Return what known mistakes give, by their names."""
    logits, targets, options = one["logits"], one["targets"], one["options"]
    real = options.get("vocab_size", logits.shape[-1])
    ignored, smoothing = options.get("ignore_index", -100), options.get("label_smoothing", 0.0)
    wrong = {}
    if ignored in range(real):
        rest = options | {"ignore_index": -100}
        wrong["only -100 is ignored, whatever ignore_index is"] = one_process(logits, targets, one["dy"], rest)[0]
    if smoothing:
        plain = one_process(logits, targets, one["dy"], options | {"label_smoothing": 0.0})[0]
        z, counted = logits[..., :real], targets != ignored
        for words, count in {
            "label smoothing divides by the padded size of the vocabulary": logits.shape[-1],
            "label smoothing divides by the number of a rank's columns": logits.shape[-1] // size,
        }.items():
            mean = (z.logsumexp(-1) - z.sum(-1) / count).where(counted, 0.0)
            wrong[words] = (1 - smoothing) * plain + smoothing * mean
    if real < logits.shape[-1] and not smoothing:
        rest = {name: value for name, value in options.items() if name != "vocab_size"}
        wrong["the padded columns take part in the sum"] = one_process(logits, targets, one["dy"], rest)[0]
    if size == 1 or smoothing or real < logits.shape[-1]:
        return wrong
    width = logits.shape[-1] // size
    parts = logits.split(width, -1)
    index = targets.where(targets != ignored, 0)
    tops = torch.stack([part.amax(-1) for part in parts])
    picked = logits.gather(-1, index.unsqueeze(-1)).squeeze(-1)
    own_top = tops.gather(0, (index // width).unsqueeze(0)).squeeze(0)
    mixed = sum((part - top.unsqueeze(-1)).exp().sum(-1) for part, top in zip(parts, tops, strict=True)).log()
    counted = targets != ignored
    wrong["each rank subtracts the maximum of its own columns"] = (mixed - (picked - own_top)).where(counted, 0.0)
    wrong["each rank takes the sum over its own columns"] = PerRank(
        (part.logsumexp(-1) - picked).where(counted, 0.0) for part in parts
    )
    return wrong


def _wrong_gradients(one, grad, size):
    """Return the parts of gradients that known mistakes give, by their names."""
    wrong = {}
    if size > 1:
        words = "the gradient is summed over the ranks, where the one that arrives is the same on all of them"
        wrong[words] = PerRank(size * part for part in grad.chunk(size, -1))
    if "ignore_index" not in one["options"] and (one["targets"] == -100).any() and not one["options"]:
        softmax = one["logits"].softmax(-1) * one["dy"].unsqueeze(-1)
        kept = grad.where((one["targets"] != -100).unsqueeze(-1), softmax)
        wrong["ignored targets have a gradient"] = PerRank(kept.chunk(size, -1))
    return wrong


def assert_traffic(comm, cases):
    """Forward calls at most three all-reduces of three numbers per token (with smoothing four), backward nothing."""
    comm.assert_only("all_reduce", "barrier")
    for rank in range(comm.world_size):
        sections = [[]]
        for op in comm.ops(rank=rank):
            if op.op == "barrier":
                sections.append([])
            else:
                sections[-1].append(op.payload_bytes // op.itemsize)
        for number, one in enumerate(cases):
            forward, backward = sections[2 * number], sections[2 * number + 1]
            most = 4 if one["options"].get("label_smoothing") else 3
            tokens = one["targets"].numel()
            assert len(forward) <= most, f"Rank {rank} calls {len(forward)} all-reduces forward; {most} are enough."
            assert sum(forward) <= most * tokens, (
                f"Rank {rank} all-reduces {sum(forward)} elements forward for {tokens} tokens; {most} per token are enough."
            )
            assert backward == [], (
                f"Rank {rank} all-reduces {sum(backward)} elements backward. Each rank can compute its part of the gradient "
                "from what it has since forward."
            )
