"""Baselines and assertions that the public and the hidden tests of ring_attention.py share."""

import math
import statistics

import torch

from assignments.ch06_tensor_parallelism import programs_ring_attention as programs
from grader.harness import PerRank, assert_matches, assert_unchanged
from grader.harness.mistake import Mistake

TOKENS, HEADS, LONG = 320, 4, 6  # tokens of a rank in the long sequence, heads, ranks
BLOCK_KB = HEADS * TOKENS**2 * 8 >> 10
BLOCKS = 15  # of them a rank may hold at a time


def part(x, rank, size, layout, dim=2):
    """Return what of a whole sequence a rank holds."""
    if layout == "contiguous":
        return x.chunk(size, dim)[rank].contiguous()
    halves = x.chunk(2 * size, dim)
    return torch.cat([halves[rank], halves[-1 - rank]], dim)


def whole_case(size, tokens, *, heads=2, kv_heads=2, width=3, batch=1, scale=1.0, **options):
    """Return q, k, v and dy of a whole sequence of size * tokens tokens, and the options."""
    shapes = {
        name: (batch, heads if name in ("q", "dy") else kv_heads, size * tokens, width)
        for name in ("q", "k", "v", "dy")
    }
    case = {name: torch.randn(shape, dtype=torch.float64) for name, shape in shapes.items()}
    case |= {name: scale * case[name] for name in "qk"}
    return case | {"options": options}


def cases_of(cases, size):
    """Return for each rank its parts of all cases."""
    return [
        [
            {
                name: part(case[name], rank, size, case["options"].get("layout", "contiguous"))
                for name in ("q", "k", "v", "dy")
            }
            | {"options": case["options"]}
            for case in cases
        ]
        for rank in range(size)
    ]


def attention(q, k, v, *, causal):
    """Return attention over the whole sequence, in its order."""
    times = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(times, 1), v.repeat_interleave(times, 1)
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if causal:
        length = q.shape[2]
        scores = scores + torch.full((length, length), -math.inf, dtype=q.dtype).triu(1)
    return scores.softmax(-1) @ v


def assert_right(run, cases, size, members=None, **tolerance):
    """Results and gradients are, for the tokens that a rank holds, those of one process; arguments are as they were.

    members: the ranks of the group, in group order; default: all
    """
    members = members or range(size)
    for number, case in enumerate(cases):
        layout, causal = case["options"].get("layout", "contiguous"), case["options"].get("causal", False)
        leaves = [case[name].clone().requires_grad_() for name in "qkv"]
        y = attention(*leaves, causal=causal)
        y.backward(case["dy"])
        found = [run["results"][rank][number] for rank in members]
        of = f" of case {number}, {case['options']}" if case["options"] else ""
        expected = PerRank(part(y.detach(), rank, size, layout) for rank in range(size))
        wrong = _wrong_results(case, size, layout, causal=causal)
        assert_matches(PerRank(one["y"] for one in found), expected, what=f"result{of}", mistakes=wrong, **tolerance)
        for at, leaf in enumerate(leaves):
            expected = PerRank(part(leaf.grad, rank, size, layout) for rank in range(size))
            wrong = _wrong_gradients(case, at, size, layout, causal=causal)
            assert_matches(
                PerRank(one["grads"][at] for one in found),
                expected,
                what=f"gradient of {'qkv'[at]}{of}",
                mistakes=wrong,
                **tolerance,
            )
        for at, name in enumerate(("q", "k", "v", "dy")):
            expected = PerRank(part(case[name], rank, size, layout) for rank in range(size))
            words = name if name != "dy" else "the gradient of the result"
            assert_unchanged(PerRank(one["arguments"][at] for one in found), expected, words)


def _wrong_results(case, size, layout, *, causal):
    """Return what known mistakes give, by their names, for each rank."""
    ranks = range(size)
    qs, ks, vs = ([part(case[name], rank, size, layout) for rank in ranks] for name in "qkv")
    heads = qs[0].shape[1] // ks[0].shape[1]
    length = qs[0].shape[2]
    places = [part(torch.arange(size * length), rank, size, layout, 0) for rank in ranks]
    straight = [torch.arange(rank * length, (rank + 1) * length) for rank in ranks]
    here = [torch.arange(length)] * size

    def results(order, *, own_only=False, turn=False, blocks=False):
        found = []
        for rank in ranks:
            spread = (lambda x: x.repeat(1, heads, 1, 1)) if turn else (lambda x: x.repeat_interleave(heads, 1))
            scores = [qs[rank] @ spread(k).mT / math.sqrt(qs[rank].shape[-1]) for k in ks]
            for source in ranks if causal else ():
                if not own_only or source == rank:
                    scores[source] = scores[source].masked_fill(order[source] > order[rank].unsqueeze(-1), -math.inf)
            if blocks:
                found.append(sum(one.softmax(-1) @ spread(v) for one, v in zip(scores, vs, strict=True)) / size)
            else:
                found.append(torch.cat(scores, -1).softmax(-1) @ torch.cat([spread(v) for v in vs], 2))
        return PerRank(found)

    wrong = {"key heads are given to query heads in turn, and not to neighbours": results(places, turn=True)}
    if causal:
        wrong["the mask compares places in the blocks, not positions in the sequence"] = results(here)
        wrong["only the block of the rank's own keys is masked"] = results(places, own_only=True)
        if layout != "contiguous":
            wrong["the mask takes the layout for contiguous"] = results(straight)
    else:
        wrong["each block has a softmax of its own, and the blocks are averaged"] = results(places, blocks=True)
    return wrong


def _wrong_gradients(case, at, size, layout, *, causal):
    """Return the gradients that known mistakes with messages give, by their names, for each rank."""
    if at == 0 or size == 1:
        return None
    own = []
    for rank in range(size):
        leaves = [case[name].clone().requires_grad_() for name in "qkv"]
        seen = part(attention(*leaves, causal=causal), rank, size, layout)
        seen.backward(part(case["dy"], rank, size, layout))
        own.append(part(leaves[at].grad, rank, size, layout))
    return {"it comes from the rank's own queries only; those of other ranks saw these keys, too": PerRank(own)}


def assert_traffic(comm, block, order):
    """K and V, of `block` elements together, go round the ring `order`: N - 1 times forward, at most 2 N - 1 times backward."""
    comm.assert_only("send", "recv", "barrier")
    comm.assert_waited_for()
    size = len(order)
    for place, rank in enumerate(order):
        after, before = order[(place + 1) % size], order[(place - 1) % size]
        sections = [[]]
        for op in comm.ops(rank=rank):
            if op.op == "barrier":
                sections.append([])
            elif op.op == "send":
                sections[-1].append(op)
        for number, sends in enumerate(sections[:-1]):
            elements, peers = sum(sum(op.inputs) for op in sends), {op.peer for op in sends}
            if number % 2 == 0:
                assert elements == (size - 1) * block, (
                    f"Forward, rank {rank} sends {elements} elements; K and V, {block} elements, travel N - 1 = {size - 1} times."
                )
                assert len(sends) <= 2 * (size - 1), (
                    f"Forward, rank {rank} sends {len(sends)} messages; a hop takes one or two."
                )
                assert peers == {after}, f"Forward, rank {rank} sends to {peers}; the next rank of the ring is {after}."
            else:
                assert elements <= (2 * size - 1) * block, (
                    f"Backward, rank {rank} sends {elements} elements; {(2 * size - 1) * block} are enough for K and V, {block} "
                    "elements, and their gradients."
                )
                assert peers in ({after}, {before}), (
                    f"Backward, rank {rank} sends to {peers}, its neighbours are {before}, {after}."
                )


def assert_little_kept(run, block_bytes):
    """No rank keeps a block of scores for backward."""
    for rank, kept in enumerate(run.observed("kept")):
        assert kept < block_bytes, (
            f"{Mistake.MEMORY}\nRank {rank} keeps {kept} bytes from forward for backward; a block of scores of its queries with one "
            f"rank's keys has {block_bytes}. Autograd keeps the weights of every block: compute them anew in backward."
        )


def assert_little_memory(launch, run, size):
    """Ranks took no memory for the scores of their queries with all keys."""
    shared = {"tokens": TOKENS, "heads": HEADS, "only_inputs": True}
    seeds = {"seed": list(range(size))}
    needed = launch.alone(programs.long_sequence, size, shared=shared, per_rank=seeds).max_rss_kb
    # The peak of a single rank is off by some blocks now and then, the median is not.
    taken = statistics.median(most - least for most, least in zip(run.max_rss_kb, needed, strict=True))
    assert taken < BLOCKS * BLOCK_KB, (
        f"{Mistake.MEMORY}\nRanks took {taken / 1024:.0f} MiB for attention, as much as {taken / BLOCK_KB:.0f} blocks of scores of "
        f"their queries with one rank's keys. One block at a time takes less than {BLOCKS}."
    )


def long_sums(size):
    """Return what each rank returns of the long sequence, from attention over all of it."""
    parts = []
    for rank in range(size):
        numbers = torch.Generator().manual_seed(rank)
        parts.append([torch.randn(1, n, TOKENS, 2, dtype=torch.float64, generator=numbers) for n in (HEADS, 1, 1)])
    places = torch.cat([part(torch.arange(size * TOKENS), rank, size, "zigzag", 0) for rank in range(size)]).argsort()
    q, k, v = (torch.cat([one[at] for one in parts], 2)[:, :, places] for at in range(3))
    # One head after the other, since the judge's memory is bounded, too.
    y = torch.cat([attention(head, k, v, causal=True) for head in q.split(1, 1)], 1)
    return [part(y, rank, size, "zigzag").square().sum() for rank in range(size)]
