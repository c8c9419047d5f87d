"""Mistakes of value: the numbers themselves are wrong.

Each function yields what a Case would hold had the mistake been made, or an explanation where the mistake is plain to see.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from grader.harness.compare.compared import Compared, agrees
from grader.harness.compare.hypothesis import ENOUGH_BITS, Case, Explanation, Hypothesis, rearranged, significant_bits
from grader.harness.mistake import Mistake
from grader.harness.wording import dtype_name, listed

Fit = Callable[[Tensor, Tensor], tuple[float, Tensor, int]]

FEWEST_ENTRIES = 4  # for explanations that weigh no numbers
MOST_SLICES = 128  # each costs a fraction of a millisecond, on each rank
FIRST_DIGITS = 1e-2  # factors nearer to 1 than this are hardly a count that is wrong


def non_finite(case: Case) -> Iterator[Explanation]:
    """Look for nan or inf where the reference is finite."""
    if all(
        not compared.wrong_actual.isfinite().any() and compared.wrong_expected.isfinite().all()
        for compared in case.wrong
    ):
        sentence = "Every wrong entry is nan or inf: an overflow, a division by zero, or memory that was never written?"
        yield Explanation(sentence, Mistake.NOT_FINITE)


def zero(case: Case) -> Iterator[Explanation]:
    """Look for entries that nobody wrote."""
    if any(bool(compared.wrong_actual.any()) for compared in case.wrong):
        return
    if case.num_wrong >= FEWEST_ENTRIES:
        where = "wherever it is wrong" if any(bool(compared.actual.any()) for compared in case.wrong) else "everywhere"
        yield Explanation(f"Yours is 0 {where}: never written, or nothing was received into it?", Mistake.ZEROS)


def stale(case: Case) -> Iterator[Hypothesis]:
    """Look for the values from before the step, on all ranks or on all but rank 0."""
    only_rank_0 = [compared.rank for compared in case.ranks if not compared.where.numel()] == [0]
    sentence = (
        "Only rank 0 was updated: the other ranks hold the values from before."
        if only_rank_0
        else "Yours equals the values from before {where}: one step stale, or never updated?"
    )
    yield Hypothesis(
        sentence=sentence, mistake=Mistake.STALE, predict=lambda compared: compared.previous, whole=only_rank_0
    )


def accumulated(_case: Case) -> Iterator[Hypothesis]:
    """Look for the values from before the step counted in, or left out."""
    added = "The values from before are added on top: never cleared, or this rank's own part counted twice?"
    left_out = "The values from before are subtracted: this rank's own part left out?"
    for sign, sentence in ((1, added), (-1, left_out)):
        predict = partial(_with_previous, sign=sign)
        yield Hypothesis(sentence=sentence, mistake=Mistake.STALE_COUNTED, predict=predict)


def _with_previous(compared: Compared, sign: int) -> Tensor | None:
    return None if compared.previous is None else compared.expected + sign * compared.previous


def named_factor(case: Case) -> Iterator[Hypothesis]:
    """Look for a factor that the world size explains."""
    for factor, cause, mistake in _causes(case):
        multiple = "minus the reference" if factor == -1 else f"{factor:.6g} times the reference"
        yield _scaling(f"Yours is {multiple} {{where}}", cause, mistake, factor, case)


def named_step(case: Case) -> Iterator[Hypothesis]:
    """Look for a step from the values before that is too long or too short by a factor that the world size explains."""
    for factor, cause, mistake in _causes(case):
        length = "goes the opposite way" if factor == -1 else f"is {factor:.6g} times the reference's"
        yield _stepping(f"The step from the values before {length} {{where}}", cause, mistake, factor, case)


def _causes(case: Case) -> Iterator[tuple[float, str, Mistake]]:
    """Yield the factors by which distributed code is wrong, each with its cause and its kind of mistake.

    Where two factors are equal, the likelier cause comes first.
    """
    n, members = float(case.world_size), len(case.ranks)
    yield -1.0, "the sign is flipped", Mistake.SIGN
    if case.world_size == 1:
        return
    if 1 < members < n:
        numbers = f"the number of all {case.world_size} ranks where that of the group's {members} is due"
        yield members / n, f"divided by {numbers}", Mistake.OTHER_GROUP
        yield n / members, f"multiplied by {numbers}", Mistake.OTHER_GROUP
        yield from _causes_of(members, f"{members} ranks of the group")
    yield from _causes_of(case.world_size, f"{case.world_size} ranks")
    groups = " or counted for another group of ranks" if case.world_size > 2 else ""  # noqa: PLR2004 - two have no sub-group
    yield 2.0, f"something is counted twice,{groups}".rstrip(","), Mistake.TWICE
    yield 0.5, f"something is left out or halved twice,{groups}".rstrip(","), Mistake.HALF
    yield n**2, "multiplied by the world size where it should be divided", Mistake.WORLD_SIZE
    yield n**-2, "divided by the world size where it should be multiplied", Mistake.WORLD_SIZE
    yield n**0.5, "a root taken on the wrong side of a sum over the ranks", Mistake.ROOT
    yield n**-0.5, "a root taken on the wrong side of a mean over the ranks", Mistake.ROOT


def _causes_of(count: int, ranks: str) -> Iterator[tuple[float, str, Mistake]]:
    yield float(count), f"a sum over the {ranks} where a mean is due", Mistake.SUM_FOR_MEAN
    yield 1 / count, f"divided by the {ranks} twice, or a mean where a sum is due", Mistake.MEAN_FOR_SUM


def _reading(fact: str, cause: str, mistake: Mistake, factor: float, case: Case) -> tuple[str, Mistake]:
    """Return what is said of a factor, and its kind.

    What explains a factor of all values, a sum where a mean is due, explains none that other values do not have.
    """
    if case.beside is None or factor == -1:
        return f"{fact}: {cause}?", mistake
    return f"{fact}, while {case.beside} is right: is it scaled in another way than the others?", Mistake.SCALE_HERE


def _scaling(fact: str, cause: str, mistake: Mistake, factor: float, case: Case, *, fitted: bool = False) -> Hypothesis:
    def predict(compared: Compared) -> Tensor:
        return factor * compared.expected

    sentence, mistake = _reading(fact, cause, mistake, factor, case)
    return Hypothesis(sentence=sentence, mistake=mistake, predict=predict, whole=False, fitted=fitted, slack=factor)


def _stepping(
    fact: str, cause: str, mistake: Mistake, factor: float, case: Case, *, fitted: bool = False
) -> Hypothesis:
    def predict(compared: Compared) -> Tensor | None:
        if compared.previous is None:
            return None
        return compared.previous + factor * (compared.expected - compared.previous)

    sentence, mistake = _reading(fact, cause, mistake, factor, case)
    return Hypothesis(sentence=sentence, mistake=mistake, predict=predict, whole=False, fitted=fitted, slack=factor)


def too_few_digits(case: Case) -> Iterator[Explanation]:
    """Look for a narrower dtype on the way."""
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        if case.num_wrong >= FEWEST_ENTRIES and all(_passed_through(compared, dtype) for compared in case.wrong):
            name = dtype_name(dtype)
            sentence = f"Every wrong entry is a {name} number: computed, sent or stored in {name} on the way?"
            yield Explanation(sentence, Mistake.DIGITS_LOST)


def _passed_through(compared: Compared, dtype: torch.dtype) -> bool:
    """Return whether the wrong entries are close to the reference and use all the digits of `dtype`, and no more."""
    eps = torch.finfo(dtype).eps
    if not compared.dtype.is_floating_point or torch.finfo(compared.dtype).eps >= eps:
        return False
    actual, expected = compared.wrong_actual, compared.wrong_expected
    close = (actual - expected).abs() <= 16 * eps * compared.expected.abs().max()
    full = significant_bits(actual).max() >= -math.log2(eps)
    return bool(close.all()) and bool(full) and torch.equal(actual.to(dtype).double(), actual)


def fraction_lost(_case: Case) -> Iterator[Hypothesis]:
    """Look for an integer dtype on the way."""
    sentence = "The fractional part is lost: an integer dtype, or an integer division, on the way?"
    for to_integer in (torch.trunc, torch.floor, torch.round):
        yield rearranged(sentence, Mistake.FRACTION_LOST, to_integer)


def fitted_factor(case: Case) -> Iterator[Hypothesis]:
    """Look for any one factor, of the values or of the step from the values before."""
    first = case.wrong[0]
    factor = _ratio(first.wrong_actual, first.wrong_expected)
    fact = f"Yours is {factor:.10g} times the reference {{where}}"
    yield _scaling(fact, "a scale that is missing, or applied twice", Mistake.SCALE, factor, case, fitted=True)
    if first.previous is not None:
        before = first.previous.flatten()[first.where]
        factor = _ratio(first.wrong_actual - before, first.wrong_expected - before)
        fact = f"The step from the values before is {factor:.10g} times the reference's {{where}}"
        yield _stepping(fact, "a scale that is missing", Mistake.SCALE, factor, case, fitted=True)


def factor_per_rank(case: Case) -> Iterator[Hypothesis]:
    """Look for another factor on each rank."""
    factors = {compared.rank: _ratio(compared.wrong_actual, compared.wrong_expected) for compared in case.wrong}
    per_rank = listed([f"{factor:.6g} on rank {rank}" for rank, factor in factors.items()])
    if len(factors) > 1:
        yield Hypothesis(
            sentence=f"Yours is a multiple of the reference, another on each rank ({per_rank}): a local count for a global one?",
            mistake=Mistake.SCALE,
            predict=lambda compared: factors[compared.rank] * compared.expected,
            whole=False,
            fitted=True,
        )


def factor_per_slice(case: Case) -> Iterator[Explanation]:
    """Look for another factor in each slice along a dim: of a statistic that each has for itself, as a channel's variance.

    After a normalisation with a bias the factor is not that of the values, but that of their distances from the bias.
    """
    for dim, (fit, what) in itertools.product(range(case.ndim), FITS):
        factors = [_factors_along(compared, dim, fit) for compared in case.wrong]
        if not all(factors):
            continue
        wrong = [factor for of_rank in factors for factor in of_rank if factor != 1.0]
        fact = f"Along dim {dim} yours is {what}, another for each index"
        most = max(abs(factor - 1.0) for factor in wrong)
        if most < FIRST_DIGITS:
            cause = "digits lost in a difference of two close numbers, or a small constant added in another place"
            yield Explanation(f"{fact}, off by {most:.1g} at most: {cause}?", Mistake.SCALE_DIGITS)
        else:
            shown = listed(list(dict.fromkeys(f"{factor:.6g}" for factor in wrong)))
            yield Explanation(f"{fact} ({shown}): a statistic of each slice that is wrong?", Mistake.SCALE_PER_SLICE)


def _factors_along(compared: Compared, dim: int, fit: Fit) -> list[float]:
    """Return by which factor each slice along `dim` is off, 1.0 where it is right; [] if no factors explain the tensor."""
    size = compared.expected.shape[dim]
    if size > MOST_SLICES or not compared.dtype.is_floating_point:
        return []
    slices = (t.movedim(dim, 0).reshape(size, -1) for t in (compared.actual, compared.expected))
    factors, evidence = [], 0.0
    for yours, due in zip(*slices, strict=True):
        if bool(agrees(yours, due, compared.bound).all()):
            factors.append(1.0)
            continue
        factor, predicted, read = fit(yours, due)
        if not math.isfinite(factor) or not bool(agrees(yours, predicted, compared.bound.loosened(2 * factor)).all()):
            return []
        off = ((yours - due).abs() / compared.bound.around(due)).log2().nan_to_num(0.0, 0.0, 0.0)
        bits = off.clamp(0.0, float(significant_bits(due).max()))
        evidence += float(bits.sum() - read * bits.max())
        factors.append(factor)
    return factors if evidence >= ENOUGH_BITS and len(set(factors)) > 1 else []


def _multiple(yours: Tensor, due: Tensor) -> tuple[float, Tensor, int]:
    """Return the factor, what it predicts, and how many entries it was read off."""
    factor = _ratio(yours, due)
    return factor, factor * due, 1


def _stretched(yours: Tensor, due: Tensor) -> tuple[float, Tensor, int]:
    """Return the same of values that are farther from a constant, or nearer to it."""
    high, low = due.argmax(), due.argmin()
    factor = float((yours[high] - yours[low]) / (due[high] - due[low]))
    return factor, yours[high] + factor * (due - due[high]), 2


FITS: tuple[tuple[Fit, str], ...] = (
    (_multiple, "a multiple of the reference"),
    (_stretched, "the reference, stretched about a constant by a factor"),
)


def _ratio(actual: Tensor, expected: Tensor) -> float:
    """Return actual / expected where `expected` is largest; nan or inf, which explain nothing, if that is impossible."""
    at = expected.abs().argmax()
    return float(actual[at] / expected[at])


def offset(case: Case) -> Iterator[Hypothesis]:
    """Look for one constant added everywhere."""
    first = case.wrong[0]
    offset = float(first.wrong_actual[0] - first.wrong_expected[0])
    sentence = f"Yours is {abs(offset):.6g} too {'large' if offset > 0 else 'small'} {{where}}: a constant counted once too often?"
    yield Hypothesis(
        sentence=sentence,
        mistake=Mistake.OFFSET,
        predict=lambda compared: compared.expected + offset,
        whole=False,
        fitted=True,
    )
