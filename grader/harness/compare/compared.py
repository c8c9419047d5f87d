"""One tensor of one rank with its reference, and whether the two agree."""

from dataclasses import dataclass

import torch
from torch import Tensor

from grader.harness.compare.tolerance import Bound

PROBED = 64  # entries tried before all: that two large tensors differ must cost nothing


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Compared:
    """What one rank returned, widened to float64, and what it should have returned.

    Shapes: `actual`, `expected` and `previous` have the same; `where` has one dimension.
    """

    rank: int
    dtype: torch.dtype
    """That of the values before they were widened."""

    actual: Tensor
    expected: Tensor
    previous: Tensor | None
    """The values from before the step, where the test knows them."""

    bound: Bound
    where: Tensor
    """The indices, into the flattened tensor, of the entries that are wrong."""

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
    """Return for each entry whether it is within the bound; nan agrees with nan, inf with inf of the same sign.

    Shapes: both the same; the result is bool of that shape.
    """
    close = (actual - reference).abs() <= bound.around(reference)
    if bool(close.all()) and bool(reference.isfinite().all()):
        return close
    return (close & reference.isfinite()) | (actual == reference) | (actual.isnan() & reference.isnan())


def same(actual: Tensor, reference: Tensor, bound: Bound) -> bool:
    """Return whether two tensors have the same shape and agree everywhere."""
    if actual.shape != reference.shape:
        return False
    a, r = actual.flatten(), reference.flatten()
    return bool(agrees(a[:PROBED], r[:PROBED], bound).all()) and bool(agrees(a, r, bound).all())
