"""How far a value may lie from its reference, in each dtype.

Floats in float64 agree within rtol 1e-9 and atol 1e-11: correct parallel code stays below 5e-13, the smallest mistake worth
teaching shows at 2e-3. In narrower dtypes no constant is right, so the bound comes from the reference's own rounding error
(`own_error_bound`).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from course_env.errors import CatalogError
from grader.harness.wording import dtype_name

RTOL = 1e-9
ATOL = 1e-11

# Another order of the same sums has another rounding error of the same kind. Over 300 draws of row-parallel products, means
# and data-parallel gradients on 2 to 8 ranks in float32, bfloat16 and float16, the largest difference came to 0.66 of
#     OWN_ERRORS * max|expected - exact| + EPS_PER_ROOT_RANK * sqrt(ranks) * eps * max|expected|
# The first term follows the depth of the computation. The second is for references that happen to be exact: a sum over N
# ranks rounds N times, and independent rounding errors grow with sqrt(N) (Higham and Mary 2019, doi:10.1137/18M1226312).
OWN_ERRORS = 4.0
EPS_PER_ROOT_RANK = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """How far a value may lie from its reference: atol + rtol * |reference|."""

    rtol: float
    atol: float

    def around(self, reference: Tensor) -> Tensor:
        """Return the allowed |difference| of each entry, in the shape of `reference`."""
        return self.atol + self.rtol * reference.abs()

    def loosened(self, factor: float) -> "Bound":
        """Return the bound for values whose rounding errors are `factor` times as large; it never tightens."""
        factor = max(1.0, abs(factor))
        return Bound(rtol=self.rtol * factor, atol=self.atol * factor)


EXACTLY = Bound(rtol=0.0, atol=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """What the test asked for."""

    rtol: float | None
    """None: by the rule of the dtype."""

    atol: float | None
    """None: by the rule of the dtype."""

    world_size: int


def bound_of(expected: Tensor, exact: object, dtype: torch.dtype, tolerance: Tolerance, path: str) -> Bound:
    """Return the bound of one floating-point value.

    Shapes: `expected` is the reference widened to float64, of any shape; `exact` must have the same shape if it is needed.

    dtype: what the reference was computed in
    exact: what the test passed as the same reference in float64, None if nothing
    path: how messages call the value
    Raises: CatalogError if the dtype is narrower than float64 and the test says nothing from which a bound follows.
    """
    rtol, atol = tolerance.rtol, tolerance.atol
    if dtype == torch.float64:
        return Bound(rtol=RTOL if rtol is None else rtol, atol=ATOL if atol is None else atol)
    if rtol is not None:
        return Bound(rtol=rtol, atol=rtol * _magnitude(expected) if atol is None else atol)
    if not isinstance(exact, Tensor) or exact.dtype != torch.float64 or exact.shape != expected.shape:
        raise CatalogError(
            f"{path} is expected in {dtype_name(dtype)}, where no fixed bound is right. "
            "Correct the test: pass exact=: the same reference computed from the same inputs in float64, of the same shape, or rtol=: 0 where values are only moved."
        )
    return own_error_bound(expected, exact.detach().cpu(), dtype, tolerance.world_size)


def own_error_bound(expected: Tensor, exact: Tensor, dtype: torch.dtype, world_size: int) -> Bound:
    """Return the bound for a reference of `dtype` whose rounding error is known.

    Shapes: `expected` and `exact` have the same shape and are float64; `expected` was computed in `dtype`.
    """
    info = torch.finfo(dtype)
    own = _magnitude(expected - exact)
    floor = math.sqrt(world_size) * info.eps * max(_magnitude(expected), info.smallest_normal)
    return Bound(rtol=0.0, atol=OWN_ERRORS * own + EPS_PER_ROOT_RANK * floor)


def _magnitude(values: Tensor) -> float:
    """Return the largest |value| of those that are finite."""
    finite = values[values.isfinite()]
    return float(finite.abs().max()) if finite.numel() else 0.0
