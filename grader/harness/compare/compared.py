"""One tensor of one rank beside its reference, and how far apart the two may be."""

from dataclasses import dataclass

import torch
from torch import Tensor

PROBED = 64  # entries tried before all: that two large tensors differ must cost nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """How far a value may lie from its reference: atol + rtol * |reference|."""

    rtol: float
    atol: float

    def around(self, reference: Tensor) -> Tensor:
        """Return the allowed |difference| of each entry."""
        return self.atol + self.rtol * reference.abs()

    def loosened(self, factor: float) -> "Bound":
        """Return the bound for values whose rounding errors are `factor` times as large; it never tightens."""
        factor = max(1.0, abs(factor))
        return Bound(rtol=self.rtol * factor, atol=self.atol * factor)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Compared:
    """What one rank returned, widened to float64, and what it should have returned.

    rank: its number in the launch
    dtype: what the values had before they were widened
    previous: the values from before the step, where the test knows them
    where: indices into the flattened tensor of the entries that are wrong
    """

    rank: int
    dtype: torch.dtype
    actual: Tensor
    expected: Tensor
    previous: Tensor | None
    bound: Bound
    where: Tensor

    @property
    def wrong_actual(self) -> Tensor:
        """The entries that are wrong."""
        return self.actual.flatten()[self.where]

    @property
    def wrong_expected(self) -> Tensor:
        """What the wrong entries should be."""
        return self.expected.flatten()[self.where]

    def wrong_along(self, dim: int) -> Tensor:
        """Return the share of wrong entries of each slice along `dim`."""
        wrong = torch.zeros(self.actual.numel())
        wrong[self.where] = 1.0
        return wrong.view(self.actual.shape).movedim(dim, 0).reshape(self.actual.shape[dim], -1).mean(1)


def agrees(actual: Tensor, reference: Tensor, bound: Bound) -> Tensor:
    """Say of each entry whether it is within the bound; nan agrees with nan, inf with inf of the same sign.

    Shapes: both the same; the result is bool of that shape.
    """
    close = (actual - reference).abs() <= bound.around(reference)
    if bool(close.all()) and bool(reference.isfinite().all()):
        return close
    return (close & reference.isfinite()) | (actual == reference) | (actual.isnan() & reference.isnan())


def same(actual: Tensor, reference: Tensor, bound: Bound) -> bool:
    """Say whether two tensors have one shape and agree everywhere."""
    if actual.shape != reference.shape:
        return False
    a, r = actual.flatten(), reference.flatten()
    return bool(agrees(a[:PROBED], r[:PROBED], bound).all()) and bool(agrees(a, r, bound).all())
