"""When to believe that one known mistake explains a wrong tensor.

A hypothesis is believed when it predicts every wrong entry of every wrong rank within the bound, and when that is too much
agreement for chance. Each entry counts as many bits as the bound resolves of the predicted error, but no more than the value
has significant digits. A repeated value counts only through the pattern it makes, and what was fitted or chosen is subtracted.
So a lone scalar, a constant tensor or a few small integers prove nothing.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from grader.harness.compare.compared import PROBED, Compared, agrees
from grader.harness.compare.tolerance import Bound
from grader.harness.mistake import Mistake

ENOUGH_BITS = 24.0  # chance would do as well less than once in 16 million
SAMPLED = 4096  # entries whose evidence is counted
MANTISSA_BITS = 53


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One tensor on all ranks that should hold it."""

    ranks: tuple[Compared, ...]
    wrong: tuple[Compared, ...]
    """Those of `ranks` that hold it wrong, at least one."""

    world_size: int
    beside: str | None = None
    """The path of a value beside this one that is right on all these ranks, and that a wrong scale would have changed."""

    @property
    def num_wrong(self) -> int:
        """The largest number of wrong entries on one rank; replicas would only count the same entries again."""
        return max(compared.where.numel() for compared in self.wrong)

    @property
    def ndim(self) -> int:
        """The number of dims, or 0 where the ranks differ in it or have none, so that no dim can be named."""
        counts = {compared.expected.ndim for compared in self.ranks}
        return counts.pop() if len(counts) == 1 else 0


class Explanation(NamedTuple):
    """What explains an error."""

    sentence: str
    """For the student; it may name ranks, indices and numbers of the test."""

    mistake: Mistake


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis:
    """A mistake, and what a wrong rank would hold had it been made."""

    sentence: str
    """What to tell the student; "{where}" in it becomes "everywhere" or "wherever it is wrong"."""

    mistake: Mistake
    predict: Callable[[Compared], Tensor | None]
    """From a wrong rank to the values it would hold; None or another shape where the mistake is impossible."""

    whole: bool = True
    """Whether the entries that are right must be predicted as well."""

    fitted: bool = False
    """Whether a number was read off each rank, which costs the evidence of one entry there."""

    arrangements: float = 0.0
    """log2 of the number of arrangements from which one was chosen on each rank."""

    slack: float = 1.0
    """The factor by which the mistake multiplies rounding errors."""


def rearranged(
    sentence: str, mistake: Mistake, how: Callable[[Tensor], Tensor], *, arrangements: float = 0.0
) -> Hypothesis:
    """Return the hypothesis that every wrong rank holds its reference rearranged by `how`."""
    return Hypothesis(
        sentence=sentence, mistake=mistake, predict=lambda compared: how(compared.expected), arrangements=arrangements
    )


def believed(hypothesis: Hypothesis, case: Case) -> Explanation | None:
    """Return the explanation if the hypothesis explains all that is wrong, on enough evidence."""
    everywhere, evidence = True, 0.0
    seen: list[Tensor] = []
    for compared in case.wrong:
        predicted = hypothesis.predict(compared)
        bound = compared.bound.loosened(hypothesis.slack)
        if predicted is None or predicted.shape != compared.actual.shape or not _explains(predicted, compared, bound):
            return None
        everywhere = everywhere and bool(agrees(compared.actual, predicted, bound).all())
        sample = predicted.flatten()[compared.where[:SAMPLED]]
        if not any(torch.equal(sample, other) for other in seen):  # equal replicas are one observation
            seen.append(sample)
            evidence += _evidence(sample, compared, bound, fitted=hypothesis.fitted) - hypothesis.arrangements
    if evidence < ENOUGH_BITS or (hypothesis.whole and not everywhere):
        return None
    sentence = hypothesis.sentence.replace("{where}", "everywhere" if everywhere else "wherever it is wrong")
    return Explanation(sentence, hypothesis.mistake)


def is_telling(values: Tensor, bound: Bound) -> bool:
    """Return whether `values`, at least one, are too many and too distinct to be right by chance."""
    sample = values.flatten()[:SAMPLED]
    worth = _bits(sample, sample, bound)[1]
    return worth * len(set(sample.tolist())) >= ENOUGH_BITS


def significant_bits(values: Tensor) -> Tensor:
    """Return how many binary digits each value has from its first one bit to its last; 0 for zero.

    Shapes: `values` is float64 of any shape; the result is float64 of that shape.
    """
    digits = (values.abs().frexp().mantissa.nan_to_num(0.0, 0.0, 0.0) * 2**MANTISSA_BITS).long()
    return torch.where(digits > 0, MANTISSA_BITS - (digits & -digits).double().log2(), 0.0)


def _explains(predicted: Tensor, compared: Compared, bound: Bound) -> bool:
    actual, flat = compared.actual.flatten(), predicted.flatten()
    return all(bool(agrees(actual[at], flat[at], bound).all()) for at in (compared.where[:PROBED], compared.where))


def _evidence(predicted: Tensor, compared: Compared, bound: Bound, *, fitted: bool) -> float:
    """Return the bits by which a sample of predictions on one rank beats chance."""
    deviation = predicted - compared.expected.flatten()[compared.where[:SAMPLED]]
    resolved, mean, largest = _bits(predicted, deviation, bound)
    counts = torch.unique(predicted, return_counts=True)[1]
    pattern = sum(count * math.log2(len(predicted) / count) for count in counts.tolist())
    return min(resolved, mean * len(counts) + float(pattern)) - (largest if fitted else 0.0)


def _bits(values: Tensor, deviation: Tensor, bound: Bound) -> tuple[float, float, float]:
    """Return what the bound resolves of all deviations, and the mean and largest count of bits that one entry is worth."""
    resolved = (
        (deviation.abs() / bound.around(values)).log2().nan_to_num(0.0, MANTISSA_BITS, 0.0).clamp(0, MANTISSA_BITS)
    )
    worth = resolved.minimum(significant_bits(values))
    return float(resolved.sum()), float(worth.mean()), float(worth.max())
