"""Why a tensor differs from its reference, where the error has a shape.

Each diagnosis looks for one kind of mistake in a Case. It yields a Hypothesis, which must then explain every wrong entry on
enough evidence, or a sentence that states a fact. DIAGNOSES goes from what leaves nothing to choose to what leaves much, so
that the most specific sentence wins.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from grader.harness.compared import Bound, Compared, agrees, same
from grader.harness.hypothesis import SAMPLED, Case, Hypothesis, believed, is_telling, significant_bits

FEWEST_ENTRIES = 4  # for statements of fact, which weigh no numbers
SHOWN_RANKS = 4
MOSTLY = 0.5  # a slice counts as wrong, not as hit by chance, from this share on

Diagnosis = Callable[[Case], Iterator[Hypothesis | str]]


def diagnose(ranks: Sequence[Compared], world_size: int) -> str | None:
    """Return the sentence that explains every wrong entry of a tensor on every rank, or None."""
    wrong = tuple(one for one in ranks if one.where.numel())
    if not wrong:
        return None
    case = Case(ranks=tuple(ranks), wrong=wrong, world_size=world_size)
    candidates = (candidate for diagnosis in DIAGNOSES for candidate in diagnosis(case))
    sentences = (candidate if isinstance(candidate, str) else believed(candidate, case) for candidate in candidates)
    return next((sentence for sentence in sentences if sentence), None)


def explain_shape(actual: Sequence[int], expected: Sequence[int], world_size: int) -> str | None:
    """Return what a wrong shape suggests, or None."""
    if tuple(actual) == tuple(reversed(expected)):
        return "Transposed?"
    if math.prod(actual) == math.prod(expected):
        return "The number of elements is right: a reshape is missing?"
    dims = [dim for dim, (a, e) in enumerate(zip(actual, expected, strict=False)) if a != e]
    if len(actual) == len(expected) and len(dims) == 1 and world_size > 1:
        (dim,) = dims
        if actual[dim] == expected[dim] * world_size:
            return f"Dim {dim} is {world_size} times too long: the whole where this rank's shard is due?"
        if actual[dim] * world_size == expected[dim]:
            return f"Dim {dim} is {world_size} times too short: this rank's shard where the whole is due?"
    return None


def _non_finite(case: Case) -> Iterator[str]:
    if all(not one.wrong_actual.isfinite().any() and one.wrong_expected.isfinite().all() for one in case.wrong):
        yield "Every wrong entry is nan or inf: an overflow, a division by zero, or memory that was never written?"


def _own_block(case: Case) -> Iterator[str]:
    if len(case.wrong) != case.world_size or case.world_size == 1:
        return
    for dim in range(_ndim(case)):
        runs = [_right_run(one, dim) for one in case.wrong]
        if all(run and run in _blocks(one, dim, case.world_size) for one, run in zip(case.wrong, runs, strict=True)):
            yield f"Each rank is right only in its own block along dim {dim}: an all-gather is missing?"


def _zero(case: Case) -> Iterator[str]:
    if any(bool(one.wrong_actual.any()) for one in case.wrong):
        return
    if sum(one.where.numel() for one in case.wrong) >= FEWEST_ENTRIES:
        where = "wherever it is wrong" if any(bool(one.actual.any()) for one in case.wrong) else "everywhere"
        yield f"Yours is 0 {where}: never written, or nothing was received into it?"


def _stale(case: Case) -> Iterator[Hypothesis]:
    only_rank_0 = [one.rank for one in case.ranks if not one.where.numel()] == [0]
    sentence = (
        "Only rank 0 was updated: the other ranks hold the values from before."
        if only_rank_0
        else "Yours equals the values from before {where}: one step stale, or never updated?"
    )
    yield Hypothesis(sentence=sentence, predict=lambda one: one.previous, whole=only_rank_0)


def _accumulated(case: Case) -> Iterator[Hypothesis]:
    added = "The values from before are added on top: never cleared, or this rank's own part counted twice?"
    left_out = "The values from before are subtracted: this rank's own part left out?"
    for sign, sentence in ((1, added), (-1, left_out)):
        yield Hypothesis(sentence=sentence, predict=partial(_with_previous, sign=sign))


def _with_previous(one: Compared, sign: int) -> Tensor | None:
    return None if one.previous is None else one.expected + sign * one.previous


def _named_factor(case: Case) -> Iterator[Hypothesis]:
    for factor, cause in _causes(case.world_size):
        told = "minus the reference" if factor == -1 else f"{factor:.6g} times the reference"
        yield _scaling(f"Yours is {told} {{where}}: {cause}?", factor)


def _named_step(case: Case) -> Iterator[Hypothesis]:
    for factor, cause in _causes(case.world_size):
        told = "goes the opposite way" if factor == -1 else f"is {factor:.6g} times the reference's"
        yield _stepping(f"The step from the values before {told} {{where}}: {cause}?", factor)


def _causes(world_size: int) -> Iterator[tuple[float, str]]:
    """Yield the factors that distributed code gets wrong, and how; where two coincide the likelier one stands first."""
    n = float(world_size)
    yield -1.0, "the sign is flipped"
    if world_size > 1:
        yield n, f"a sum over the {world_size} ranks where a mean is due"
        yield 1 / n, f"divided by the {world_size} ranks twice, or a mean where a sum is due"
        yield 2.0, "something is counted twice"
        yield 0.5, "something is halved twice"
        yield n**2, "multiplied by the world size where it should be divided"
        yield n**-2, "divided by the world size where it should be multiplied"
        yield n**0.5, "a root taken on the wrong side of a sum over the ranks"
        yield n**-0.5, "a root taken on the wrong side of a mean over the ranks"


def _scaling(sentence: str, factor: float, *, fitted: bool = False) -> Hypothesis:
    return Hypothesis(
        sentence=sentence, predict=lambda one: factor * one.expected, whole=False, fitted=fitted, slack=factor
    )


def _stepping(sentence: str, factor: float, *, fitted: bool = False) -> Hypothesis:
    def predict(one: Compared) -> Tensor | None:
        return None if one.previous is None else one.previous + factor * (one.expected - one.previous)

    return Hypothesis(sentence=sentence, predict=predict, whole=False, fitted=fitted, slack=factor)


def _ranks_mixed_up(case: Case) -> Iterator[Hypothesis]:
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


def _only_local(case: Case) -> Iterator[Hypothesis]:
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


def _transposed(case: Case) -> Iterator[Hypothesis]:
    for i, j in itertools.combinations(range(_ndim(case)), 2):
        yield _rearranged(
            f"Transposed: dims {i} and {j} are exchanged.", partial(torch.transpose, dim0=i, dim1=j)
        )


def _misread(case: Case) -> Iterator[Hypothesis]:
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


def _interleaved(case: Case) -> Iterator[Hypothesis]:
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


def _blocks_reordered(case: Case) -> Iterator[Hypothesis]:
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


def _reversed(case: Case) -> Iterator[Hypothesis]:
    for dim in range(_ndim(case)):
        yield _rearranged(f"Reversed along dim {dim}.", partial(torch.flip, dims=(dim,)))


def _rolled(case: Case) -> Iterator[Hypothesis]:
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


def _too_few_digits(case: Case) -> Iterator[str]:
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        if _num_wrong(case) >= FEWEST_ENTRIES and all(_passed_through(one, dtype) for one in case.wrong):
            name = str(dtype).removeprefix("torch.")
            yield f"Every wrong entry is a {name} number: computed, sent or stored in {name} on the way?"


def _passed_through(one: Compared, dtype: torch.dtype) -> bool:
    """Say whether the wrong entries are close to the reference and use all the digits of `dtype`, and no more."""
    eps = torch.finfo(dtype).eps
    if not one.dtype.is_floating_point or torch.finfo(one.dtype).eps >= eps:
        return False
    held, due = one.wrong_actual, one.wrong_expected
    close = (held - due).abs() <= 16 * eps * one.expected.abs().max()
    full = significant_bits(held).max() >= -math.log2(eps)
    return bool(close.all()) and bool(full) and torch.equal(held.to(dtype).double(), held)


def _fraction_lost(case: Case) -> Iterator[Hypothesis]:
    for to_integer in (torch.trunc, torch.floor, torch.round):
        yield _rearranged("The fractional part is lost: an integer dtype, or an integer division, on the way?", to_integer)


def _fitted_factor(case: Case) -> Iterator[Hypothesis]:
    first = case.wrong[0]
    factor = _ratio(first.wrong_actual, first.wrong_expected)
    told = f"Yours is {factor:.10g} times the reference {{where}}: a scale that is missing, or applied twice?"
    yield _scaling(told, factor, fitted=True)
    if first.previous is not None:
        before = first.previous.flatten()[first.where]
        factor = _ratio(first.wrong_actual - before, first.wrong_expected - before)
        told = f"The step from the values before is {factor:.10g} times the reference's {{where}}: a scale that is missing?"
        yield _stepping(told, factor, fitted=True)


def _factor_per_rank(case: Case) -> Iterator[Hypothesis]:
    factors = {one.rank: _ratio(one.wrong_actual, one.wrong_expected) for one in case.wrong}
    told = _listed([f"{factor:.6g} on rank {rank}" for rank, factor in factors.items()])
    if len(factors) > 1:
        yield Hypothesis(
            sentence=f"Yours is a multiple of the reference, another on each rank ({told}): a local count for a global one?",
            predict=lambda one: factors[one.rank] * one.expected,
            whole=False,
            fitted=True,
        )


def _ratio(held: Tensor, due: Tensor) -> float:
    """Return held / due where `due` is largest; nan or inf, which explain nothing, where that is impossible."""
    at = due.abs().argmax()
    return float(held[at] / due[at])


def _offset(case: Case) -> Iterator[Hypothesis]:
    first = case.wrong[0]
    offset = float(first.wrong_actual[0] - first.wrong_expected[0])
    told = f"Yours is {abs(offset):.6g} too {'large' if offset > 0 else 'small'} {{where}}: a constant counted once too often?"
    yield Hypothesis(sentence=told, predict=lambda one: one.expected + offset, whole=False, fitted=True)


def _right_block(case: Case) -> Iterator[str]:
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
