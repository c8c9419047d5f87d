"""Mistakes of order: every rank holds the right numbers in the wrong order.

Each function yields what a Case would hold had the mistake been made, or an explanation where the mistake is plain to see.
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
        sentence = f"Transposed: dims {i} and {j} are exchanged."
        yield rearranged(sentence, Mistake.TRANSPOSED, partial(torch.transpose, dim0=i, dim1=j))


def misread(case: Case) -> Iterator[Hypothesis]:
    """Look for memory read in another order than it was written."""
    sentence = (
        "The right numbers in the wrong memory order: a reshape where a transpose, or a cat along another dim, is due?"
    )
    for i, j in itertools.permutations(range(case.ndim), 2):
        yield rearranged(sentence, Mistake.ORDER, partial(_reshaped, i=i, j=j))
        yield rearranged(sentence, Mistake.ORDER, partial(_gathered_along, i=i, j=j, count=case.world_size))


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
    sentence = (
        "Contiguous and interleaved are exchanged along dim 0: blocks where every N-th entry is due, or the reverse?"
    )
    if case.ndim and n > 1:
        yield rearranged(sentence, Mistake.ORDER, partial(_dealt, sizes=(n, -1), count=n))
        yield rearranged(sentence, Mistake.ORDER, partial(_dealt, sizes=(-1, n), count=n))
        if len({compared.expected.shape for compared in case.ranks}) == 1 and len(case.ranks) == n:
            rows = torch.stack([compared.expected for compared in case.ranks])
            dealt, cut = rows.flatten(0, 1), rows.transpose(0, 1).flatten(0, 1).chunk(n)
            yield Hypothesis(
                sentence=sentence, mistake=Mistake.ORDER, predict=lambda compared: dealt[compared.rank :: n]
            )
            yield Hypothesis(sentence=sentence, mistake=Mistake.ORDER, predict=lambda compared: cut[compared.rank])


def _dealt(whole: Tensor, sizes: tuple[int, int], count: int) -> Tensor:
    return whole if whole.shape[0] % count else whole.reshape(*sizes, *whole.shape[1:]).transpose(0, 1).flatten(0, 1)


def blocks_reordered(case: Case) -> Iterator[Hypothesis]:
    """Look for as many blocks as ranks, in another order."""
    n = case.world_size
    for dim in range(case.ndim if n > 1 else 0):
        order = _block_order(case.wrong[0], dim, n)
        if order:
            sentence = f"The {n} blocks along dim {dim} are in the wrong order; on rank {case.wrong[0].rank}: {str(order)[1:-1]}."
            predict = partial(_in_block_order, dim=dim, count=n)
            price = math.log2(math.factorial(n))
            yield Hypothesis(sentence=sentence, mistake=Mistake.ORDER, predict=predict, arrangements=price)


def _block_order(compared: Compared, dim: int, count: int) -> list[int] | None:
    """Return which block of the reference is at each position along `dim`, or None if a block is none of them."""
    if compared.actual.shape[dim] % count or not compared.actual.shape[dim]:
        return None
    expected = compared.expected.chunk(count, dim)
    found = [
        next((b for b, block in enumerate(expected) if same(actual, block, compared.bound)), -1)
        for actual in compared.actual.chunk(count, dim)
    ]
    return found if sorted(found) == list(range(count)) else None


def _in_block_order(compared: Compared, dim: int, count: int) -> Tensor | None:
    order = _block_order(compared, dim, count)
    return torch.cat([compared.expected.chunk(count, dim)[block] for block in order], dim) if order else None


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
            sentence = (
                f"Shifted by {shift if 2 * shift <= size else shift - size} along dim {dim}: an index off by as much?"
            )
            roll = partial(torch.roll, shifts=shift, dims=dim)
            yield rearranged(sentence, Mistake.SHIFTED, roll, arrangements=math.log2(size))


def _shifts(compared: Compared, dim: int) -> list[int]:
    """Return the few shifts along `dim` that would bring the largest entry to where it is."""
    actual, expected = (
        tensor.movedim(dim, -1).reshape(-1, tensor.shape[dim]) for tensor in (compared.actual, compared.expected)
    )
    row, position = divmod(int(actual.abs().argmax()), actual.shape[1])
    origins = agrees(expected[row], actual[row, position].expand(actual.shape[1]), compared.bound).nonzero()[:4, 0]
    return [shift for origin in origins.tolist() if (shift := (position - origin) % actual.shape[1])]


def shuffled(case: Case) -> Iterator[Hypothesis]:
    """Look for entries exchanged with each other, in no order that has a name."""
    size = case.num_wrong
    weighed = min(size, SAMPLED)  # evidence is counted on a sample, so the price is that of placing the sample
    arrangements = (math.lgamma(size + 1) - math.lgamma(size - weighed + 1)) / math.log(2)
    sentence = "The right entries in the wrong order."
    yield Hypothesis(sentence=sentence, mistake=Mistake.ORDER, predict=_ordered_alike, arrangements=arrangements)


def _ordered_alike(compared: Compared) -> Tensor:
    """Return the reference with its wrong entries rearranged so that they are in the same order of size as the actual ones."""
    flat = compared.expected.flatten().clone()
    flat[compared.where[compared.wrong_actual.argsort()]] = compared.wrong_expected.sort().values
    return flat.view(compared.expected.shape)
