"""Mistakes of value: the right places hold the wrong numbers.

Each function yields what a Case would hold had the mistake been made, or a sentence where the mistake shows as a fact.
"""

import math
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from grader.harness.compare.compared import Compared
from grader.harness.compare.hypothesis import Case, Explanation, Hypothesis, rearranged, significant_bits
from grader.harness.mistake import Mistake
from grader.harness.wording import dtype_name, listed

FEWEST_ENTRIES = 4  # for statements of fact, which weigh no numbers


def non_finite(case: Case) -> Iterator[Explanation]:
    """Look for nan or inf where the reference is finite."""
    if all(not one.wrong_actual.isfinite().any() and one.wrong_expected.isfinite().all() for one in case.wrong):
        told = "Every wrong entry is nan or inf: an overflow, a division by zero, or memory that was never written?"
        yield Explanation(told, Mistake.NOT_FINITE)


def zero(case: Case) -> Iterator[Explanation]:
    """Look for entries that nobody wrote."""
    if any(bool(one.wrong_actual.any()) for one in case.wrong):
        return
    if case.num_wrong >= FEWEST_ENTRIES:
        where = "wherever it is wrong" if any(bool(one.actual.any()) for one in case.wrong) else "everywhere"
        yield Explanation(f"Yours is 0 {where}: never written, or nothing was received into it?", Mistake.ZEROS)


def stale(case: Case) -> Iterator[Hypothesis]:
    """Look for the values from before the step, on all ranks or on all but rank 0."""
    only_rank_0 = [one.rank for one in case.ranks if not one.where.numel()] == [0]
    sentence = (
        "Only rank 0 was updated: the other ranks hold the values from before."
        if only_rank_0
        else "Yours equals the values from before {where}: one step stale, or never updated?"
    )
    yield Hypothesis(sentence=sentence, mistake=Mistake.STALE, predict=lambda one: one.previous, whole=only_rank_0)


def accumulated(_case: Case) -> Iterator[Hypothesis]:
    """Look for the values from before the step counted in, or left out."""
    added = "The values from before are added on top: never cleared, or this rank's own part counted twice?"
    left_out = "The values from before are subtracted: this rank's own part left out?"
    for sign, sentence in ((1, added), (-1, left_out)):
        predict = partial(_with_previous, sign=sign)
        yield Hypothesis(sentence=sentence, mistake=Mistake.STALE_COUNTED, predict=predict)


def _with_previous(one: Compared, sign: int) -> Tensor | None:
    return None if one.previous is None else one.expected + sign * one.previous


def named_factor(case: Case) -> Iterator[Hypothesis]:
    """Look for a factor that the world size explains."""
    for factor, cause, mistake in _causes(case.world_size):
        told = "minus the reference" if factor == -1 else f"{factor:.6g} times the reference"
        yield _scaling(f"Yours is {told} {{where}}: {cause}?", mistake, factor)


def named_step(case: Case) -> Iterator[Hypothesis]:
    """Look for a step from the values before, longer or shorter by a factor that the world size explains."""
    for factor, cause, mistake in _causes(case.world_size):
        told = "goes the opposite way" if factor == -1 else f"is {factor:.6g} times the reference's"
        yield _stepping(f"The step from the values before {told} {{where}}: {cause}?", mistake, factor)


def _causes(world_size: int) -> Iterator[tuple[float, str, Mistake]]:
    """Yield the factors that distributed code gets wrong, how, and the kind of it; where two coincide the likelier one stands first."""
    n = float(world_size)
    yield -1.0, "the sign is flipped", Mistake.SIGN
    if world_size > 1:
        yield n, f"a sum over the {world_size} ranks where a mean is due", Mistake.SUM_FOR_MEAN
        yield 1 / n, f"divided by the {world_size} ranks twice, or a mean where a sum is due", Mistake.MEAN_FOR_SUM
        yield 2.0, "something is counted twice", Mistake.COUNTED_TWICE
        yield 0.5, "something is halved twice", Mistake.HALVED_TWICE
        yield n**2, "multiplied by the world size where it should be divided", Mistake.WORLD_SIZE
        yield n**-2, "divided by the world size where it should be multiplied", Mistake.WORLD_SIZE
        yield n**0.5, "a root taken on the wrong side of a sum over the ranks", Mistake.ROOT
        yield n**-0.5, "a root taken on the wrong side of a mean over the ranks", Mistake.ROOT


def _scaling(sentence: str, mistake: Mistake, factor: float, *, fitted: bool = False) -> Hypothesis:
    def predict(one: Compared) -> Tensor:
        return factor * one.expected

    return Hypothesis(sentence=sentence, mistake=mistake, predict=predict, whole=False, fitted=fitted, slack=factor)


def _stepping(sentence: str, mistake: Mistake, factor: float, *, fitted: bool = False) -> Hypothesis:
    def predict(one: Compared) -> Tensor | None:
        return None if one.previous is None else one.previous + factor * (one.expected - one.previous)

    return Hypothesis(sentence=sentence, mistake=mistake, predict=predict, whole=False, fitted=fitted, slack=factor)


def too_few_digits(case: Case) -> Iterator[Explanation]:
    """Look for a narrower dtype on the way."""
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        if case.num_wrong >= FEWEST_ENTRIES and all(_passed_through(one, dtype) for one in case.wrong):
            name = dtype_name(dtype)
            told = f"Every wrong entry is a {name} number: computed, sent or stored in {name} on the way?"
            yield Explanation(told, Mistake.DIGITS_LOST)


def _passed_through(one: Compared, dtype: torch.dtype) -> bool:
    """Say whether the wrong entries are close to the reference and use all the digits of `dtype`, and no more."""
    eps = torch.finfo(dtype).eps
    if not one.dtype.is_floating_point or torch.finfo(one.dtype).eps >= eps:
        return False
    held, due = one.wrong_actual, one.wrong_expected
    close = (held - due).abs() <= 16 * eps * one.expected.abs().max()
    full = significant_bits(held).max() >= -math.log2(eps)
    return bool(close.all()) and bool(full) and torch.equal(held.to(dtype).double(), held)


def fraction_lost(_case: Case) -> Iterator[Hypothesis]:
    """Look for an integer dtype on the way."""
    told = "The fractional part is lost: an integer dtype, or an integer division, on the way?"
    for to_integer in (torch.trunc, torch.floor, torch.round):
        yield rearranged(told, Mistake.FRACTION_LOST, to_integer)


def fitted_factor(case: Case) -> Iterator[Hypothesis]:
    """Look for any one factor, of the values or of the step from the values before."""
    first = case.wrong[0]
    factor = _ratio(first.wrong_actual, first.wrong_expected)
    told = f"Yours is {factor:.10g} times the reference {{where}}: a scale that is missing, or applied twice?"
    yield _scaling(told, Mistake.SCALE, factor, fitted=True)
    if first.previous is not None:
        before = first.previous.flatten()[first.where]
        factor = _ratio(first.wrong_actual - before, first.wrong_expected - before)
        told = f"The step from the values before is {factor:.10g} times the reference's {{where}}: a scale that is missing?"
        yield _stepping(told, Mistake.SCALE, factor, fitted=True)


def factor_per_rank(case: Case) -> Iterator[Hypothesis]:
    """Look for a factor of its own on each rank."""
    factors = {one.rank: _ratio(one.wrong_actual, one.wrong_expected) for one in case.wrong}
    told = listed([f"{factor:.6g} on rank {rank}" for rank, factor in factors.items()])
    if len(factors) > 1:
        yield Hypothesis(
            sentence=f"Yours is a multiple of the reference, another on each rank ({told}): a local count for a global one?",
            mistake=Mistake.SCALE,
            predict=lambda one: factors[one.rank] * one.expected,
            whole=False,
            fitted=True,
        )


def _ratio(held: Tensor, due: Tensor) -> float:
    """Return held / due where `due` is largest; nan or inf, which explain nothing, where that is impossible."""
    at = due.abs().argmax()
    return float(held[at] / due[at])


def offset(case: Case) -> Iterator[Hypothesis]:
    """Look for one constant added everywhere."""
    first = case.wrong[0]
    offset = float(first.wrong_actual[0] - first.wrong_expected[0])
    told = f"Yours is {abs(offset):.6g} too {'large' if offset > 0 else 'small'} {{where}}: a constant counted once too often?"
    yield Hypothesis(
        sentence=told,
        mistake=Mistake.OFFSET,
        predict=lambda one: one.expected + offset,
        whole=False,
        fitted=True,
    )
