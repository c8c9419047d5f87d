"""Whether what the ranks returned is what the one-process reference says, and how it differs.

Floats agree within the bounds of `tolerance`; integers, bools, strings, None and dtypes agree exactly. Every rank and every
value is compared before anything is reported, because the pattern over ranks is what explains a mistake.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from course_env.errors import CatalogError
from grader.harness.compare.compared import Compared, agrees, same
from grader.harness.compare.diagnosis import diagnose
from grader.harness.compare.difference import Difference, Mismatch
from grader.harness.compare.hypothesis import is_telling
from grader.harness.compare.structure import Misfit, Node, value_text, walk
from grader.harness.compare.tolerance import ATOL, EXACTLY, RTOL, Bound, Tolerance, bound_of
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
    mistakes: Mapping[str, Any] | None = None,
    what: str = "result",
) -> None:
    """Compare what the ranks returned with what is expected; say how it differs and, where the error has a shape, why.

    actual: a PerRank, as a launch returns it, or a bare value from a call outside any launch
    expected: a PerRank holds one value for each rank; a bare value is expected on every rank
    rtol, atol: replace the rules of `tolerance`; without atol, rtol is relative to the largest entry in dtypes below float64
    exact: the same reference computed in float64, for dtypes below float64
    previous: the values from before the step, or the input: never compared, but they can show that nothing changed
    mistakes: what mistakes that have a signature would return, each by its name or by its `Mistake`, in the form of `expected`.
        One is named if it explains all that is wrong.
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
        difference = _difference(wrong, results, len(returned), in_launch=in_launch)
        for name, value in (mistakes or {}).items():
            if _gives(what, returned, _spread(value, returned, "mistakes"), wrong, results):
                kind = name if isinstance(name, Mistake) else difference.mistake
                difference = replace(difference, diagnosis=f"That is what comes of this mistake: {name}.", mistake=kind)
                break
        raise Mismatch(difference)


def _gives(what: str, returned: Sequence[Any], mistaken: Sequence[Any], wrong: Sequence[str], results: Results) -> bool:
    """Return whether a mistake gives what the ranks returned, wherever that is wrong."""
    for rank, (actual, value) in enumerate(zip(returned, mistaken, strict=True)):
        for node, misfit in walk(Node(what, actual, value, None, None), len(returned)):
            if node.path in results and node.path not in wrong:
                continue
            result = results.get(node.path, {}).get(rank)
            bound = result.bound if isinstance(result, Compared) else Bound(rtol=RTOL, atol=ATOL)
            if misfit is not None or not _is_alike(node, bound):
                return False
    return True


def _is_alike(node: Node, bound: Bound) -> bool:
    if isinstance(node.expected, Tensor | float):
        return same(_widened(node.actual), _widened(node.expected), bound)
    return bool(node.actual == node.expected)


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
    if isinstance(node.expected, list | tuple) and Counter(node.actual) == Counter(node.expected):
        problem = f"is {value_text(node.actual)}, expected {value_text(node.expected)}."
        return Misfit(problem, Mistake.ORDER, "The right entries in the wrong order.")
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
    except (OverflowError, RuntimeError):  # an int too large for a float, which is expected
        return torch.tensor(math.inf if value > 0 else -math.inf, dtype=torch.float64)


def _is_wrong(result: Result) -> bool:
    return result.where.numel() > 0 if isinstance(result, Compared) else result is not None


def _difference(wrong: Sequence[str], results: Results, world_size: int, *, in_launch: bool) -> Difference:
    """Return the first wrong value. Types come before values, and a misfit before numbers, which may only follow from it."""
    path = min(wrong, key=lambda path: min(map(_rank_of_misfit, results[path].values())))
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
        beside = _right_beside(path, results, wrong_ranks)
        sentence, mistake = diagnose(tuple(numbers.values()), world_size, beside) or (None, Mistake.VALUES)
        what = _worst(numbers[rank]) | {"diagnosis": sentence, "mistake": mistake}
    return Difference(rank=rank if in_launch else None, **where, **what)


def _rank_of_misfit(result: Result) -> int:
    """Return how early a result is told: a wrong type or structure, then a wrong word or list, then wrong numbers."""
    if not isinstance(result, Misfit):
        return 2
    return int(result.mistake in {Mistake.VALUES, Mistake.ORDER})


def _right_beside(path: str, results: Results, wrong_ranks: Sequence[int]) -> str | None:
    """Return the path of a tensor in the same container that is right on all these ranks, and no zeros."""
    container = _container_of(path)
    for other, ranks in results.items():
        if other != path and container and _container_of(other) == container:
            beside = [ranks.get(rank) for rank in wrong_ranks]
            if all(isinstance(one, Compared) and _is_right(one) for one in beside):
                return other
    return None


def _container_of(path: str) -> str:
    """Return the path of what holds the value at `path`, "" of a value that is a whole."""
    return path[: path.rfind("[")] if path.endswith("]") else path.rpartition(".")[0]


def _is_right(compared: Compared) -> bool:
    """Return whether a tensor is right, and would not be if its scale or its step were wrong."""
    unchanged = compared.previous is not None and torch.equal(compared.previous, compared.expected)
    return (
        compared.where.numel() == 0
        and compared.dtype.is_floating_point
        and not unchanged
        and is_telling(compared.expected, compared.bound)
    )


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
