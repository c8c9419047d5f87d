"""Mistakes of order: every rank holds the right numbers in the wrong places.

Each function yields what a Case would hold had the mistake been made, or a sentence where the mistake shows as a fact.
"""

import itertools
import math
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from grader.harness.compare.compared import Compared, agrees, same
from grader.harness.compare.hypothesis import SAMPLED, Case, Hypothesis, rearranged
from grader.harness.mistake import Mistake


def transposed(case: Case) -> Iterator[Hypothesis]:
    """Look for two dims exchanged."""
    for i, j in itertools.combinations(range(case.ndim), 2):
        told = f"Transposed: dims {i} and {j} are exchanged."
        yield rearranged(told, Mistake.TRANSPOSED, partial(torch.transpose, dim0=i, dim1=j))


def misread(case: Case) -> Iterator[Hypothesis]:
    """Look for memory read in another order than it was written."""
    told = (
        "The right numbers in the wrong memory order: a reshape where a transpose, or a cat along another dim, is due?"
    )
    for i, j in itertools.permutations(range(case.ndim), 2):
        yield rearranged(told, Mistake.ORDER, partial(_reshaped, i=i, j=j))
        yield rearranged(told, Mistake.ORDER, partial(_gathered_along, i=i, j=j, count=case.world_size))


def _reshaped(whole: Tensor, i: int, j: int) -> Tensor:
    turned = whole.transpose(i, j)
    return turned.reshape(whole.shape) if i < j else whole.reshape(turned.shape).transpose(i, j)


def _gathered_along(whole: Tensor, i: int, j: int, count: int) -> Tensor:
    if whole.shape[i] % count:
        return whole
    return torch.cat(whole.chunk(count, i), j).reshape(whole.shape)


def interleaved(case: Case) -> Iterator[Hypothesis]:
    """Look for contiguous blocks and strided entries exchanged, within a rank or between ranks."""
    n = case.world_size
    told = "Contiguous and interleaved are exchanged along dim 0: blocks where every N-th entry is due, or the reverse?"
    if case.ndim and n > 1:
        yield rearranged(told, Mistake.ORDER, partial(_dealt, sizes=(n, -1), count=n))
        yield rearranged(told, Mistake.ORDER, partial(_dealt, sizes=(-1, n), count=n))
        if len({one.expected.shape for one in case.ranks}) == 1 and len(case.ranks) == n:
            rows = torch.stack([one.expected for one in case.ranks])
            dealt, cut = rows.flatten(0, 1), rows.transpose(0, 1).flatten(0, 1).chunk(n)
            yield Hypothesis(sentence=told, mistake=Mistake.ORDER, predict=lambda one: dealt[one.rank :: n])
            yield Hypothesis(sentence=told, mistake=Mistake.ORDER, predict=lambda one: cut[one.rank])


def _dealt(whole: Tensor, sizes: tuple[int, int], count: int) -> Tensor:
    return whole if whole.shape[0] % count else whole.reshape(*sizes, *whole.shape[1:]).transpose(0, 1).flatten(0, 1)


def blocks_reordered(case: Case) -> Iterator[Hypothesis]:
    """Look for as many blocks as ranks, in another order."""
    n = case.world_size
    for dim in range(case.ndim if n > 1 else 0):
        order = _block_order(case.wrong[0], dim, n)
        if order:
            told = f"The {n} blocks along dim {dim} are in the wrong order; on rank {case.wrong[0].rank}: {str(order)[1:-1]}."
            predict = partial(_in_block_order, dim=dim, count=n)
            price = math.log2(math.factorial(n))
            yield Hypothesis(sentence=told, mistake=Mistake.ORDER, predict=predict, arrangements=price)


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


def reversed_(case: Case) -> Iterator[Hypothesis]:
    """Look for a dim that runs backwards."""
    for dim in range(case.ndim):
        yield rearranged(f"Reversed along dim {dim}.", Mistake.ORDER, partial(torch.flip, dims=(dim,)))


def rolled(case: Case) -> Iterator[Hypothesis]:
    """Look for entries moved along a dim, the last ones to the front."""
    first = case.wrong[0]
    for dim in range(case.ndim):
        size = first.actual.shape[dim]
        for shift in _shifts(first, dim):
            told = (
                f"Shifted by {shift if 2 * shift <= size else shift - size} along dim {dim}: an index off by as much?"
            )
            roll = partial(torch.roll, shifts=shift, dims=dim)
            yield rearranged(told, Mistake.SHIFTED, roll, arrangements=math.log2(size))


def _shifts(one: Compared, dim: int) -> list[int]:
    """Return the few shifts along `dim` that would bring the largest entry to where it stands."""
    held, due = (tensor.movedim(dim, -1).reshape(-1, tensor.shape[dim]) for tensor in (one.actual, one.expected))
    row, place = divmod(int(held.abs().argmax()), held.shape[1])
    origins = agrees(due[row], held[row, place].expand(held.shape[1]), one.bound).nonzero()[:4, 0]
    return [shift for origin in origins.tolist() if (shift := (place - origin) % held.shape[1])]


def shuffled(case: Case) -> Iterator[Hypothesis]:
    """Look for entries exchanged with each other, in no order that has a name."""
    size = case.num_wrong
    weighed = min(size, SAMPLED)  # evidence is counted on a sample, so the price is that of placing the sample
    arrangements = (math.lgamma(size + 1) - math.lgamma(size - weighed + 1)) / math.log(2)
    told = "The right entries in the wrong order."
    yield Hypothesis(sentence=told, mistake=Mistake.ORDER, predict=_ordered_alike, arrangements=arrangements)


def _ordered_alike(one: Compared) -> Tensor:
    """Return the reference with its wrong entries dealt out anew: each goes where the entry of its rank in size stands."""
    flat = one.expected.flatten().clone()
    flat[one.where[one.wrong_actual.argsort()]] = one.wrong_expected.sort().values
    return flat.view(one.expected.shape)
