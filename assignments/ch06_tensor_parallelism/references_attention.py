"""Baselines and assertions that the public and the hidden tests of attention.py share."""

import math

import torch
from torch.nn import functional

from grader.harness import PerRank, assert_matches

NAMES = ("qkv_weight", "qkv_bias", "out_weight", "out_bias")


def whole_tensors(d, n_head, n_kv_head):
    """Return qkv_weight, qkv_bias, out_weight and out_bias for all heads."""
    rows = d + 2 * n_kv_head * (d // n_head)
    return [torch.randn(*shape, dtype=torch.float64) for shape in ((rows, d), (rows,), (d, d), (d,))]


def batches(d, *shapes):
    """Return xs, and the gradients of the results."""
    return [[torch.randn(*shape, d, dtype=torch.float64) for shape in shapes] for _ in range(2)]


def attention(x, qkv_weight, qkv_bias, out_weight, out_bias, *, sizes, causal, **variant):
    """Return what one process computes with all heads, one after the other.

    A variant is a mistake: `root` of another number, a mask that begins `late`, `turn` key heads by remainder, `only` some heads.
    """
    d, n_head, n_kv_head = sizes
    width = d // n_head
    length = x.shape[1]
    projected = functional.linear(x, qkv_weight, qkv_bias)
    q, k, v = projected.split([d, n_kv_head * width, n_kv_head * width], -1)
    mixed = []
    for head in range(n_head):
        own, shared = head * width, head * n_kv_head // n_head * width
        if variant.get("turn"):
            shared = head % n_kv_head * width
        scores = q[..., own : own + width] @ k[..., shared : shared + width].mT / math.sqrt(variant.get("root", width))
        if causal:
            scores = scores + torch.full((length, length), -math.inf, dtype=x.dtype).triu(1 + variant.get("late", 0))
        here = scores.softmax(-1) @ v[..., shared : shared + width]
        mixed.append(here if head in variant.get("only", range(n_head)) else torch.zeros_like(here))
    return functional.linear(torch.cat(mixed, -1), out_weight, out_bias)


def part_of(whole, sizes, rank, size):
    """Return what of the four whole tensors, or of their gradients, belongs to a rank, by name."""
    d, n_head, n_kv_head = sizes
    width = d // n_head
    heads = [*range(rank * n_head // size, (rank + 1) * n_head // size)]
    kv_heads = [*range(rank * n_kv_head // size, rank * n_kv_head // size + max(1, n_kv_head // size))]
    rows = [*heads, *(n_head + kv for kv in kv_heads), *(n_head + n_kv_head + kv for kv in kv_heads)]
    places = torch.cat([torch.arange(row * width, (row + 1) * width) for row in rows])
    columns = torch.cat([torch.arange(head * width, (head + 1) * width) for head in heads])
    qkv_weight, qkv_bias, out_weight, out_bias = whole
    return dict(zip(NAMES, (qkv_weight[places], qkv_bias[places], out_weight[:, columns], out_bias), strict=True))


def assert_right(run, whole, xs, dys, *, sizes, size, causal=True, members=None):
    """Assert that outputs and all gradients are those of one process with all heads; the parameters are the rank's parts.

    members: the ranks of the group, in group order; default: all
    """
    members = members or range(size)
    leaves = [tensor.clone().requires_grad_() for tensor in whole]
    ys, x_grads = [], []
    for x, dy in zip(xs, dys, strict=True):
        leaf = x.clone().requires_grad_()
        y = attention(leaf, *leaves, sizes=sizes, causal=causal)
        y.backward(dy)
        ys.append(y.detach())
        x_grads.append(leaf.grad)
    found = {name: PerRank(run[name][rank] for rank in members) for name in ("parameters", "ys", "x_grads", "grads")}
    parts = PerRank(part_of(whole, sizes, rank, size) for rank in range(size))
    assert_matches(found["parameters"], parts, what="parameters after load_full")
    times = {"summed over the ranks once more, where each has the whole gradient": [size * grad for grad in x_grads]}
    assert_matches(found["ys"], ys, what="y", mistakes=_wrong_results(whole, xs, ys, sizes, size, causal))
    assert_matches(found["x_grads"], x_grads, what="gradient of x", mistakes=times if size > 1 else None)
    grads = PerRank(part_of([leaf.grad for leaf in leaves], sizes, rank, size) for rank in range(size))
    wrong = _wrong_gradients(whole, xs, dys, sizes, size, causal) if size > sizes[2] else None
    assert_matches(found["grads"], grads, what="gradients", mistakes=wrong)


def _wrong_results(whole, xs, ys, sizes, size, causal):  # noqa: PLR0917 - as compared
    """Return what known mistakes give, by their names."""
    variants = {
        "scores are divided by the root of d, not of d_head": {"root": sizes[0]},
        "scores are divided by the root of the rank's width, which depends on N": {"root": sizes[0] // size},
        "key heads are given to query heads in turn, and not to neighbours": {"turn": True},
        "the mask begins one token too late": {"late": 1},
        "the mask is missing": {"late": xs[0].shape[1]},
    }
    wrong = {
        words: [attention(x, *whole, sizes=sizes, causal=causal, **one) for x in xs] for words, one in variants.items()
    }
    wrong["a causal mask where none is due"] = [attention(x, *whole, sizes=sizes, causal=True) for x in xs]
    if size > 1:
        words = "the bias of the output is added by every rank before the sum"
        wrong[words] = [y + (size - 1) * whole[3] for y in ys]
    return wrong


def _wrong_gradients(whole, xs, dys, sizes, size, causal):  # noqa: PLR0917 - as compared
    """Return the gradients that mistakes with shared key heads give, by their names, for each rank."""
    n_head, n_kv_head = sizes[1], sizes[2]
    replicas = size // n_kv_head
    rows = n_head // size * (sizes[0] // n_head)  # of a rank's query heads, which come first

    def parts(chosen, heads=None):
        leaves = [tensor.clone().requires_grad_() for tensor in whole]
        for x, dy in zip(xs[chosen], dys[chosen], strict=True):
            attention(x, *leaves, sizes=sizes, causal=causal, only=range(n_head) if heads is None else heads).backward(
                dy
            )
        return [part_of([leaf.grad for leaf in leaves], sizes, rank, size) for rank in range(size)]

    def with_shared(own, shared):
        return own | {name: torch.cat([own[name][:rows], shared[name][rows:]]) for name in ("qkv_weight", "qkv_bias")}

    right, share = parts(slice(None)), n_head // size
    own = [parts(slice(None), range(rank * share, (rank + 1) * share))[rank] for rank in range(size)]
    wrong = {
        "the gradients of shared key and value heads are those of the rank's own query heads": PerRank(
            with_shared(*pair) for pair in zip(right, own, strict=True)
        )
    }
    if len(xs) > 1:
        first = parts(slice(0, 1))
        twice = [
            with_shared(one, {name: one[name] + (replicas - 1) * old[name] for name in ("qkv_weight", "qkv_bias")})
            for one, old in zip(right, first, strict=True)
        ]
        wrong["the second pass sums the gradients of shared heads from the first once more"] = PerRank(twice)
    return wrong


def assert_traffic(comm, elements, shared=0):
    """One all-reduce of x's size in each direction; in backward others of `shared` elements together, within kv_group."""
    for rank in range(comm.world_size):
        sections = [[]]
        for op in comm.ops(rank=rank):
            if op.op == "barrier":
                sections.append([])
            else:
                sections[-1].append(op)
        assert not sections[0], f"Rank {rank} communicates in the constructor or in load_full."
        for number, ops in enumerate(sections[1:]):
            direction = ("forward", "backward")[number % 2]
            foreign = [op.kind for op in ops if op.kind != "all_reduce"]
            assert not foreign, f"Rank {rank} calls {foreign[0]}, {direction}; all-reduces are all that is needed."
            large = [sum(op.inputs) for op in ops if len(op.ranks) == comm.world_size]
            assert large == [elements], (
                f"{direction}: rank {rank} all-reduces {large} elements over the whole group; one all-reduce of {elements}, "
                "the size of x, is due."
            )
            small = sum(sum(op.inputs) for op in ops if len(op.ranks) < comm.world_size)
            due = shared if direction == "backward" else 0
            assert small == due, f"{direction}: rank {rank} all-reduces {small} elements over kv_group; due are {due}."
