"""Whether what the ranks returned is what the one-process reference says, and how it differs.

Floats in float64 agree within rtol 1e-9 and atol 1e-11: correct parallel code stays below 5e-13, the smallest mistake worth
teaching shows at 2e-3. In narrower dtypes no constant is right, so the bound comes from the reference's own rounding error
(`own_error_bound`). Integers, bools, strings, None and dtypes agree exactly. Every rank and every value is compared before
anything is reported, because the pattern over ranks is what explains a mistake.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor

from course_env.errors import CatalogError, did_you_mean
from grader.harness.compare.compared import Bound, Compared, agrees
from grader.harness.compare.diagnosis import diagnose, explain_shape
from grader.harness.compare.difference import Difference, Mismatch
from grader.harness.mistake import Mistake
from grader.harness.per_rank import PerRank
from grader.harness.wording import dtype_name, listed

RTOL = 1e-9
ATOL = 1e-11

# Another order of the same sums has another rounding error of the same kind. Over 300 draws of row-parallel products, means
# and data-parallel gradients on 2 to 8 ranks in float32, bfloat16 and float16, the largest difference came to 0.66 of
#     OWN_ERRORS * max|expected - exact| + EPS_PER_ROOT_RANK * sqrt(ranks) * eps * max|expected|
# The first term follows the depth of the computation. The second is for references that happen to be exact: a sum over N
# ranks rounds N times, and independent rounding errors grow with sqrt(N) (Higham and Mary 2019, doi:10.1137/18M1226312).
OWN_ERRORS = 4.0
EPS_PER_ROOT_RANK = 2.0

EXACTLY = Bound(rtol=0.0, atol=0.0)
KINDS = (Tensor, dict, list, tuple, bool, int, float, str)
MAX_SHOWN = 80  # characters of a student's value in a message
MAX_KEYS = 20  # unexpected keys looked at: a rank may return any number


class Node(NamedTuple):
    """A place in what one rank returned, with what belongs there."""

    path: str
    actual: Any
    expected: Any
    exact: Any
    previous: Any


class Misfit(NamedTuple):
    """Something wrong that is no difference of numbers, its kind, and what it suggests."""

    problem: str
    mistake: Mistake
    hint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """What the test asked for; None means the rule of the dtype."""

    rtol: float | None
    atol: float | None
    world_size: int


Found = Mapping[str, Mapping[int, Compared | Misfit | None]]  # by path, then by rank; None: agrees


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
    rtol, atol: replace the rules above; without atol, rtol is relative to the largest entry in dtypes below float64
    exact: the same reference computed in float64, for dtypes below float64
    previous: the values from before the step, or the input: never compared, but "nothing changed" can be told by it
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
    due = (
        _spread(expected, returned, "expected"),
        _spread(exact, returned, "exact"),
        _spread(previous, returned, "previous"),
    )
    found: dict[str, dict[int, Compared | Misfit | None]] = {}
    for rank, values in enumerate(zip(returned, *due, strict=True)):
        for node, misfit in _walk(Node(what, *values), len(returned)):
            found.setdefault(node.path, {})[rank] = misfit or _compare(node, rank, tolerance)
    wrong = [path for path, ranks in found.items() if any(map(_is_wrong, ranks.values()))]
    if wrong:
        raise Mismatch(_difference(wrong, found, len(returned), in_launch=in_launch))


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


def _spread(value: Any, returned: Sequence[Any], name: str) -> Sequence[Any]:
    """Return one value per rank."""
    if not isinstance(value, PerRank):
        return [value] * len(returned)
    if len(value) != len(returned):
        told = f"`{name}` holds a value for {len(value)} ranks, `actual` for {len(returned)}."
        raise CatalogError(f"{told} Correct the test.")
    return value


def _walk(node: Node, world_size: int) -> Iterator[tuple[Node, Misfit | None]]:
    """Yield the places where values meet, or where structures part.

    What is expected leads the way, so a rank cannot make this recurse deeper than the test does.
    """
    misfit = _misfit(node, world_size)
    steps = {} if misfit else _steps(node.expected)
    if not steps:
        yield node, misfit
    for name, step in steps.items():
        exact, previous = _follow(step, node.exact), _follow(step, node.previous)
        yield from _walk(Node(node.path + name, step(node.actual), step(node.expected), exact, previous), world_size)


def _steps(expected: Any) -> dict[str, Callable[[Any], Any]]:
    """Return how to get at the parts of a container, by what a path calls them; a value that is no container has none."""
    if isinstance(expected, dict):
        return {f"[{key!r}]": itemgetter(key) for key in expected}
    if isinstance(expected, list | tuple):
        return {f"[{index}]": itemgetter(index) for index in range(len(expected))}
    if dataclasses.is_dataclass(expected):
        return {f".{field.name}": attrgetter(field.name) for field in dataclasses.fields(expected)}
    return {}


def _follow(step: Callable[[Any], Any], value: Any) -> Any:
    """Take a step in a value that may lack that part."""
    try:
        return step(value)
    except (LookupError, TypeError, AttributeError):
        return None


def _compare(node: Node, rank: int, tolerance: Tolerance) -> Compared | Misfit | None:
    if isinstance(node.expected, Tensor | float):
        return _compare_numbers(node, rank, tolerance)
    if node.actual == node.expected:
        return None
    return Misfit(f"is {_shown(node.actual)}, expected {_shown(node.expected)}.", Mistake.VALUES)


def _compare_numbers(node: Node, rank: int, tolerance: Tolerance) -> Compared:
    dtype = node.expected.dtype if isinstance(node.expected, Tensor) else torch.float64
    held, due = _widened(node.actual), _widened(node.expected)
    if dtype.is_floating_point:
        bound = _bound(node, due, dtype, tolerance)
        wrong = ~agrees(held, due, bound)
    else:  # in their own dtype: float64 cannot tell all int64 apart
        bound, wrong = EXACTLY, node.actual.cpu() != node.expected.cpu()
    before = _widened(node.previous) if isinstance(node.previous, Tensor | float) else None
    return Compared(
        rank=rank,
        dtype=dtype,
        actual=held,
        expected=due,
        previous=before if before is not None and before.shape == due.shape else None,
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


def _bound(node: Node, due: Tensor, dtype: torch.dtype, tolerance: Tolerance) -> Bound:
    rtol, atol = tolerance.rtol, tolerance.atol
    if dtype == torch.float64:
        return Bound(rtol=RTOL if rtol is None else rtol, atol=ATOL if atol is None else atol)
    if rtol is not None:
        return Bound(rtol=rtol, atol=rtol * _magnitude(due) if atol is None else atol)
    if not isinstance(node.exact, Tensor) or node.exact.dtype != torch.float64 or node.exact.shape != due.shape:
        raise CatalogError(
            f"{node.path} is expected in {dtype_name(dtype)}, where no fixed bound is right. "
            "Correct the test: pass exact=: the same reference computed from the same inputs in float64, of the same shape, or rtol=: 0 where values are only moved."
        )
    return own_error_bound(due, _widened(node.exact), dtype, tolerance.world_size)


def _misfit(node: Node, world_size: int) -> Misfit | None:
    """Return why two values cannot be compared part by part, or None."""
    actual, expected = node.actual, node.expected
    held, due = _kind(actual), _kind(expected)
    if held is not due and not (held is int and due is float):
        return Misfit(f"is {_named(held)}, expected {_named(due)}.", Mistake.TYPE)
    if due is Tensor:
        return _tensor_misfit(actual, expected, world_size)
    if due is dict:
        return _key_misfit(actual, expected)
    if due in (list, tuple) and len(actual) != len(expected):
        return Misfit(f"has {len(actual)} entries, expected {len(expected)}.", Mistake.LENGTH)
    return None


def _tensor_misfit(actual: Tensor, expected: Tensor, world_size: int) -> Misfit | None:
    if expected.dtype.is_complex:
        raise CatalogError("Complex tensors are not compared. Correct the test: pass torch.view_as_real(...) of both.")
    if actual.shape != expected.shape:
        problem = f"has shape {tuple(actual.shape)}, expected {tuple(expected.shape)}."
        cause = explain_shape(actual.shape, expected.shape, world_size)
        return Misfit(problem, cause.mistake, cause.sentence) if cause else Misfit(problem, Mistake.SHAPE)
    if actual.dtype != expected.dtype:
        return Misfit(f"has dtype {dtype_name(actual.dtype)}, expected {dtype_name(expected.dtype)}.", Mistake.DTYPE)
    return None


def _key_misfit(actual: dict[Any, Any], expected: dict[Any, Any]) -> Misfit | None:
    missing = [key for key in expected if key not in actual]
    extra = [key for key in actual if key not in expected]
    lacks = f"lacks {listed([_shown(key) for key in missing])}" if missing else ""
    has = f"has {listed([_shown(key) for key in extra])}, which nobody expects" if extra else ""
    if not lacks and not has:
        return None
    problem = " and ".join(filter(None, (lacks, has)))
    return Misfit(f"{problem}.", Mistake.KEYS, _likely_key(extra, missing))


def _likely_key(extra: Sequence[Any], missing: Sequence[Any]) -> str | None:
    """Return which missing key an unexpected one was meant to be, if two are close."""
    held, due = ([key[:MAX_SHOWN] for key in keys[:MAX_KEYS] if isinstance(key, str)] for keys in (extra, missing))
    hints = (did_you_mean(key, due) for key in held)
    return next((hint for hint in hints if "Did you mean" in hint), None)


def _kind(value: Any) -> type:
    return next((kind for kind in KINDS if isinstance(value, kind)), type(value))


def _named(kind: type) -> str:
    if kind is type(None):
        return "None"
    return f"{'an' if kind.__name__[0] in 'aeiou' else 'a'} {kind.__name__}"


def _shown(value: Any) -> str:
    """Return a short text of any value, however long it is."""
    try:
        text = repr(value[:MAX_SHOWN]) if isinstance(value, str) else repr(value)
    except ValueError:  # an int of more digits than Python prints
        return f"{_named(type(value))} too long to show"
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def _is_wrong(result: Compared | Misfit | None) -> bool:
    return result.where.numel() > 0 if isinstance(result, Compared) else result is not None


def _difference(wrong: Sequence[str], found: Found, world_size: int, *, in_launch: bool) -> Difference:
    """Return the first wrong value; where structures part before where numbers differ, which may only follow from it."""
    path = next((p for p in wrong if any(isinstance(result, Misfit) for result in found[p].values())), wrong[0])
    results = found[path]
    wrong_ranks = tuple(rank for rank, result in results.items() if _is_wrong(result))
    misfits = {rank: result for rank, result in results.items() if isinstance(result, Misfit)}
    place: dict[str, Any] = {
        "world_size": world_size,
        "path": path,
        "wrong_ranks": wrong_ranks,
        "right_ranks": _right_ranks(path, found),
        "also_wrong": tuple(other for other in wrong if other != path),
    }
    rank = min(misfits or wrong_ranks)
    if misfits:
        problem, mistake, hint = misfits[rank]
        explained: dict[str, Any] = {"problem": problem, "diagnosis": hint, "mistake": mistake}
    else:
        compared = [result for result in results.values() if isinstance(result, Compared)]
        sentence, mistake = diagnose(compared, world_size) or (None, Mistake.VALUES)
        worst = _worst(next(one for one in compared if one.rank == rank))
        explained = worst | {"diagnosis": sentence, "mistake": mistake}
    return Difference(rank=rank if in_launch else None, **place, **explained)


def _right_ranks(path: str, found: Found) -> tuple[int, ...]:
    """Return the ranks with a right value at `path`, which may be a container there."""
    below = [ranks for other, ranks in found.items() if other == path or other.startswith((f"{path}[", f"{path}."))]
    wrong = {rank for ranks in below for rank, result in ranks.items() if _is_wrong(result)}
    return tuple(sorted({rank for ranks in below for rank in ranks} - wrong))


def _worst(one: Compared) -> dict[str, Any]:
    """Return the fields of a Difference that say where a tensor is furthest off."""
    off = (one.wrong_actual - one.wrong_expected).abs().nan_to_num(math.inf, math.inf)
    at = one.where[off.argmax()]
    held, due = one.actual.flatten()[at], one.expected.flatten()[at]
    allowed = float(one.bound.around(due))
    return {
        "max_abs": float(off.max()),
        "index": tuple(int(place) for place in torch.unravel_index(at, one.actual.shape)),
        "allowed": allowed if math.isfinite(allowed) else None,
        "actual": float(held),
        "expected": float(due),
        "num_wrong": one.where.numel(),
        "numel": one.actual.numel(),
    }
