"""Whether what the ranks returned is what the one-process reference says, and how it differs.

Floats agree within the bounds of `tolerance`; integers, bools, strings, None and dtypes agree exactly. Every rank and every
value is compared before anything is reported, because the pattern over ranks is what explains a mistake.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from course_env.errors import CatalogError
from grader.harness.compare.compared import Compared, agrees
from grader.harness.compare.diagnosis import diagnose
from grader.harness.compare.difference import Difference, Mismatch
from grader.harness.compare.structure import Misfit, Node, value_text, walk
from grader.harness.compare.tolerance import EXACTLY, Tolerance, bound_of
from grader.harness.mistake import Mistake
from grader.harness.per_rank import PerRank

Result = Compared | Misfit | None  # None: agrees
Results = Mapping[str, Mapping[int, Result]]  # by path, then by rank


def assert_matches(
    actual: Any,
    expected: Any,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    exact: Any = None,
    previous: Any = None,
    what: str = "result",
) -> None:
    """Compare what the ranks returned with what is due; say how and, where the error has a shape, why it differs.

    actual: a PerRank, as a launch returns it, or a bare value from a call outside any launch
    expected: a PerRank holds one value for each rank; a bare value is due on every rank
    rtol, atol: replace the rules of `tolerance`; without atol, rtol is relative to the largest entry in dtypes below float64
    exact: the same reference computed in float64, for dtypes below float64
    previous: the values from before the step, or the input: never compared, but they can show that nothing changed
    what: how messages call the value
    Raises: Mismatch; CatalogError if the test itself asks for what no submission could satisfy.
    """
    __tracebackhide__ = True
    if exact is not None and (rtol is not None or atol is not None):
        raise CatalogError(
            "`exact` sets the bound, and so do `rtol` and `atol`. Correct the test: pass one or the other."
        )
    in_launch = isinstance(actual, PerRank)
    returned: Sequence[Any] = actual if in_launch else [actual]
    if not returned:
        raise CatalogError("`actual` is an empty PerRank: there is no rank to compare. Correct the test.")
    tolerance = Tolerance(rtol=rtol, atol=atol, world_size=len(returned))
    references = (
        _spread(expected, returned, "expected"),
        _spread(exact, returned, "exact"),
        _spread(previous, returned, "previous"),
    )
    results: dict[str, dict[int, Result]] = {}
    for rank, values in enumerate(zip(returned, *references, strict=True)):
        for node, misfit in walk(Node(what, *values), len(returned)):
            results.setdefault(node.path, {})[rank] = misfit or _compare(node, rank, tolerance)
    wrong = [path for path, ranks in results.items() if any(map(_is_wrong, ranks.values()))]
    if wrong:
        raise Mismatch(_difference(wrong, results, len(returned), in_launch=in_launch))


def _spread(value: Any, returned: Sequence[Any], name: str) -> Sequence[Any]:
    """Return one value per rank."""
    if not isinstance(value, PerRank):
        return [value] * len(returned)
    if len(value) != len(returned):
        raise CatalogError(
            f"`{name}` holds a value for {len(value)} ranks, `actual` for {len(returned)}. Correct the test."
        )
    return value


def _compare(node: Node, rank: int, tolerance: Tolerance) -> Result:
    if isinstance(node.expected, Tensor | float):
        return _compare_numbers(node, rank, tolerance)
    if node.actual == node.expected:
        return None
    return Misfit(f"is {value_text(node.actual)}, expected {value_text(node.expected)}.", Mistake.VALUES)


def _compare_numbers(node: Node, rank: int, tolerance: Tolerance) -> Compared:
    dtype = node.expected.dtype if isinstance(node.expected, Tensor) else torch.float64
    actual, expected = _widened(node.actual), _widened(node.expected)
    if dtype.is_floating_point:
        bound = bound_of(expected, node.exact, dtype, tolerance, node.path)
        wrong = ~agrees(actual, expected, bound)
    else:  # in their own dtype: float64 cannot tell all int64 apart
        bound, wrong = EXACTLY, node.actual.cpu() != node.expected.cpu()
    previous = _widened(node.previous) if isinstance(node.previous, Tensor | float) else None
    return Compared(
        rank=rank,
        dtype=dtype,
        actual=actual,
        expected=expected,
        previous=previous if previous is not None and previous.shape == expected.shape else None,
        bound=bound,
        where=wrong.flatten().nonzero()[:, 0],
    )


def _widened(value: Tensor | float) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach().to("cpu", torch.float64)
    try:
        return torch.tensor(value, dtype=torch.float64)
    except (OverflowError, RuntimeError):  # an int, where a float is due, too large for one
        return torch.tensor(math.inf if value > 0 else -math.inf, dtype=torch.float64)


def _is_wrong(result: Result) -> bool:
    return result.where.numel() > 0 if isinstance(result, Compared) else result is not None


def _difference(wrong: Sequence[str], results: Results, world_size: int, *, in_launch: bool) -> Difference:
    """Return the first wrong value. A misfit comes before different numbers, which may only follow from it."""
    path = next((p for p in wrong if any(isinstance(result, Misfit) for result in results[p].values())), wrong[0])
    result_of = results[path]
    wrong_ranks = tuple(rank for rank, result in result_of.items() if _is_wrong(result))
    misfits = {rank: result for rank, result in result_of.items() if isinstance(result, Misfit)}
    where: dict[str, Any] = {
        "world_size": world_size,
        "path": path,
        "wrong_ranks": wrong_ranks,
        "right_ranks": _right_ranks(path, results),
        "also_wrong": tuple(other for other in wrong if other != path),
    }
    rank = min(misfits or wrong_ranks)
    if misfits:
        problem, mistake, hint = misfits[rank]
        what: dict[str, Any] = {"problem": problem, "diagnosis": hint, "mistake": mistake}
    else:
        numbers = {rank: result for rank, result in result_of.items() if isinstance(result, Compared)}
        sentence, mistake = diagnose(tuple(numbers.values()), world_size) or (None, Mistake.VALUES)
        what = _worst(numbers[rank]) | {"diagnosis": sentence, "mistake": mistake}
    return Difference(rank=rank if in_launch else None, **where, **what)


def _right_ranks(path: str, results: Results) -> tuple[int, ...]:
    """Return the ranks with a right value at `path`, which may be a container there."""
    below = [ranks for other, ranks in results.items() if other == path or other.startswith((f"{path}[", f"{path}."))]
    wrong = {rank for ranks in below for rank, result in ranks.items() if _is_wrong(result)}
    return tuple(sorted({rank for ranks in below for rank in ranks} - wrong))


def _worst(compared: Compared) -> dict[str, Any]:
    """Return the fields of a Difference that say where a tensor is furthest off."""
    off = (compared.wrong_actual - compared.wrong_expected).abs().nan_to_num(math.inf, math.inf)
    at = compared.where[off.argmax()]
    actual, expected = compared.actual.flatten()[at], compared.expected.flatten()[at]
    allowed = float(compared.bound.around(expected))
    return {
        "max_abs": float(off.max()),
        "index": tuple(int(index) for index in torch.unravel_index(at, compared.actual.shape)),
        "allowed": allowed if math.isfinite(allowed) else None,
        "actual": float(actual),
        "expected": float(expected),
        "num_wrong": compared.where.numel(),
        "numel": compared.actual.numel(),
    }
