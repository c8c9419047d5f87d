"""Mistakes of place: the right numbers stand on the wrong rank, in the wrong order, or only in part.

Each function yields what a Case would hold had the mistake been made, or a sentence where the mistake shows as a fact.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from grader.harness.compared import Compared, agrees, same
from grader.harness.hypothesis import Case, Hypothesis, is_telling

SHOWN_RANKS = 4
MOSTLY = 0.5  # a slice counts as wrong, not as hit by chance, from this share of its entries on


def ranks_mixed_up(case: Case) -> Iterator[Hypothesis]:
    """Ranks that hold another rank's values."""
    sources = {one.rank: [other.rank for other in case.ranks if _holds(one, other)] for one in case.wrong}
    if not all(sources.values()):
        return
    chosen, sentence = _who_holds_what(sources, case.world_size)
    due = {other.rank: other.expected for other in case.ranks}
    arrangements = math.log2(len(case.ranks))
    yield Hypothesis(sentence=sentence, predict=lambda one: due[chosen[one.rank]], arrangements=arrangements)


def _holds(one: Compared, other: Compared) -> bool:
    return one is not other and same(one.actual, other.expected, one.bound)


def _who_holds_what(sources: dict[int, list[int]], world_size: int) -> tuple[dict[int, int], str]:
    """Return which rank's values each wrong rank holds, and the simplest way to say it."""
    ranks = list(sources)
    common = set.intersection(*map(set, sources.values()))
    if common and len(ranks) > 1:
        one = min(common)
        return dict.fromkeys(ranks, one), f"All wrong ranks hold what rank {one} should: sent to all instead of dealt out?"
    for shift in range(1, world_size if world_size == len(ranks) > 2 else 0):
        if all((rank - shift) % world_size in sources[rank] for rank in ranks):
            back = f"r - {shift}" if 2 * shift <= world_size else f"r + {world_size - shift}"
            told = f"Every rank r holds what rank {back} (modulo {world_size}) should: an index off, or the wrong direction?"
            return {rank: (rank - shift) % world_size for rank in ranks}, told
    chosen = {rank: held[0] for rank, held in sources.items()}
    if len(ranks) == 2 and chosen == dict(zip(ranks, reversed(ranks), strict=True)):
        return chosen, f"Ranks {ranks[0]} and {ranks[1]} are swapped: each holds what the other should."
    pairs = [f"rank {rank} holds what rank {source} should" for rank, source in chosen.items()]
    return chosen, f"Ranks are mixed up: {_listed(pairs)}."


def _listed(parts: Sequence[str]) -> str:
    more = len(parts) - SHOWN_RANKS
    return ", ".join(parts[:SHOWN_RANKS]) + (f" and {more} more" if more > 0 else "")


def only_local(case: Case) -> Iterator[Hypothesis]:
    """Parts that were never reduced: their sum or mean is the reference."""
    first = case.wrong[0]
    everybody = len(case.wrong) == case.world_size > 1
    if not everybody or len({one.actual.shape for one in case.wrong}) > 1:
        return
    if all(same(one.actual, first.actual, first.bound) for one in case.wrong):
        return  # replicas have communicated; a factor is what is wrong
    total = torch.stack([one.actual for one in case.wrong]).sum(0)
    for count, combined in ((1, "sum"), (case.world_size, "mean")):
        told = f"The reference is the {combined} of what the ranks hold: each kept its own part, an all-reduce is missing?"
        yield Hypothesis(
            sentence=told, predict=partial(_rest_of, total=total, count=count), slack=float(case.world_size)
        )


def _rest_of(one: Compared, total: Tensor, count: int) -> Tensor:
    return count * one.expected - (total - one.actual)


def own_block(case: Case) -> Iterator[str]:
    """Each rank right in its own block of a whole that all should hold."""
    if len(case.wrong) != case.world_size or case.world_size == 1:
        return
    for dim in range(_ndim(case)):
        runs = [_right_run(one, dim) for one in case.wrong]
        if all(run and run in _blocks(one, dim, case.world_size) for one, run in zip(case.wrong, runs, strict=True)):
            yield f"Each rank is right only in its own block along dim {dim}: an all-gather is missing?"


def transposed(case: Case) -> Iterator[Hypothesis]:
    """Two dims exchanged."""
    for i, j in itertools.combinations(range(_ndim(case)), 2):
        yield _rearranged(
            f"Transposed: dims {i} and {j} are exchanged.", partial(torch.transpose, dim0=i, dim1=j)
        )


def misread(case: Case) -> Iterator[Hypothesis]:
    """Memory read in another order than it was written."""
    told = "The right numbers in the wrong memory order: a reshape where a transpose, or a cat along another dim, is due?"
    for i, j in itertools.permutations(range(_ndim(case)), 2):
        yield _rearranged(told, partial(_reshaped, i=i, j=j))
        yield _rearranged(told, partial(_gathered_along, i=i, j=j, count=case.world_size))


def _reshaped(whole: Tensor, i: int, j: int) -> Tensor:
    turned = whole.transpose(i, j)
    return turned.reshape(whole.shape) if i < j else whole.reshape(turned.shape).transpose(i, j)


def _gathered_along(whole: Tensor, i: int, j: int, count: int) -> Tensor:
    if whole.shape[i] % count:
        return whole
    return torch.cat(whole.chunk(count, i), j).reshape(whole.shape)


def interleaved(case: Case) -> Iterator[Hypothesis]:
    """Contiguous blocks and strided entries exchanged, within a rank or between ranks."""
    n = case.world_size
    told = "Contiguous and interleaved are exchanged along dim 0: blocks where every N-th entry is due, or the reverse?"
    if _ndim(case) and n > 1:
        yield _rearranged(told, partial(_dealt, sizes=(n, -1), count=n))
        yield _rearranged(told, partial(_dealt, sizes=(-1, n), count=n))
        if len({one.expected.shape for one in case.ranks}) == 1 and len(case.ranks) == n:
            rows = torch.stack([one.expected for one in case.ranks])
            yield Hypothesis(sentence=told, predict=lambda one: rows.flatten(0, 1)[one.rank :: n])
            yield Hypothesis(sentence=told, predict=lambda one: rows.transpose(0, 1).flatten(0, 1).chunk(n)[one.rank])


def _dealt(whole: Tensor, sizes: tuple[int, int], count: int) -> Tensor:
    return whole if whole.shape[0] % count else whole.unflatten(0, sizes).transpose(0, 1).flatten(0, 1)


def blocks_reordered(case: Case) -> Iterator[Hypothesis]:
    """As many blocks as ranks, in another order."""
    n = case.world_size
    for dim in range(_ndim(case) if n > 1 else 0):
        order = _block_order(case.wrong[0], dim, n)
        if order:
            told = f"The {n} blocks along dim {dim} are in the wrong order; on rank {case.wrong[0].rank}: {str(order)[1:-1]}."
            predict = partial(_in_block_order, dim=dim, count=n)
            yield Hypothesis(sentence=told, predict=predict, arrangements=math.log2(math.factorial(n)))


def _block_order(one: Compared, dim: int, count: int) -> list[int] | None:
    """Return which block of the reference stands at each place along `dim`, or None if some block is none of them."""
    if one.actual.shape[dim] % count or not one.actual.shape[dim]:
        return None
    due = one.expected.chunk(count, dim)
    found = [
        next((b for b, block in enumerate(due) if same(held, block, one.bound)), -1)
        for held in one.actual.chunk(count, dim)
    ]
    return found if sorted(found) == list(range(count)) else None


def _in_block_order(one: Compared, dim: int, count: int) -> Tensor | None:
    order = _block_order(one, dim, count)
    return torch.cat([one.expected.chunk(count, dim)[block] for block in order], dim) if order else None


def reversed(case: Case) -> Iterator[Hypothesis]:
    """A dim that runs backwards."""
    for dim in range(_ndim(case)):
        yield _rearranged(f"Reversed along dim {dim}.", partial(torch.flip, dims=(dim,)))


def rolled(case: Case) -> Iterator[Hypothesis]:
    """Entries moved along a dim, the last ones to the front."""
    first = case.wrong[0]
    for dim in range(_ndim(case)):
        size = first.actual.shape[dim]
        for shift in _shifts(first, dim):
            told = f"Shifted by {shift if 2 * shift <= size else shift - size} along dim {dim}: an index off by as much?"
            roll = partial(torch.roll, shifts=shift, dims=dim)
            yield _rearranged(told, roll, arrangements=math.log2(size))


def _shifts(one: Compared, dim: int) -> list[int]:
    """Return the few shifts along `dim` that would bring the largest entry to where it stands."""
    held, due = (tensor.movedim(dim, -1).reshape(-1, tensor.shape[dim]) for tensor in (one.actual, one.expected))
    row, place = divmod(int(held.abs().argmax()), held.shape[1])
    origins = agrees(due[row], held[row, place].expand(held.shape[1]), one.bound).nonzero()[:4, 0]
    return [shift for origin in origins.tolist() if (shift := (place - origin) % held.shape[1])]


def _rearranged(sentence: str, how: Callable[[Tensor], Tensor], arrangements: float = 0.0) -> Hypothesis:
    return Hypothesis(sentence=sentence, predict=lambda one: how(one.expected), arrangements=arrangements)


def right_block(case: Case) -> Iterator[str]:
    """One contiguous block right and the rest wrong, or the reverse."""
    for dim in range(_ndim(case)):
        right, wrong = ([find(one, dim) for one in case.wrong] for find in (_right_run, _wrong_run))
        runs, what = (wrong, "wrong") if _are_shorter(wrong, right) else (right, "right")
        told = [_block_name(one, run, dim, case.world_size) for one, run in zip(case.wrong, runs, strict=True) if run]
        if len(told) < len(case.wrong):
            continue
        if len(set(told)) == 1:
            yield f"Along dim {dim} only {told[0]} is {what}."
        else:
            parts = [f"{name} on rank {one.rank}" for one, name in zip(case.wrong, told, strict=True)]
            yield f"Along dim {dim} only one block is {what}: {_listed(parts)}."
