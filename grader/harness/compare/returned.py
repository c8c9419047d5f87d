"""What is wrong with the value of one call: its type, its parts, its numbers."""

import math
from typing import Any, NamedTuple

from torch import Tensor

from grader.harness.compare.difference import Mismatch, distinct_texts
from grader.harness.compare.equivalence import assert_matches
from grader.harness.compare.shown_call import returned_text, typed_text
from grader.harness.compare.structure import Misfit, Node, kind_text, walk
from grader.harness.compare.tolerance import RTOL
from grader.harness.mistake import Mistake

ROUNDING_OF_ZERO = 1e-12  # where 0.0 is expected there is nothing to be relative to
COARSE = 1e-4  # wider than that, one of the factors fits by chance
SMALL = 1000  # a factor between two small ints is plain to see, and may be chance

_COUNTS = (2, 3, 4, 6, 8, 12, 16, 24, 60, 100, 1000, 1024, 3600, 86400, 10**6, 10**9, 10**12)
_UNITS = (("kB and KiB", 1.024), ("MB and MiB", 1.024**2), ("GB and GiB", 1.024**3), ("TB and TiB", 1.024**4))
_RATIOS = (("4/3", 4 / 3), ("3/2", 3 / 2), ("3/4", 3 / 4), ("2/3", 2 / 3))
FACTORS: tuple[tuple[float, str, Mistake], ...] = (
    (-1.0, "the sign is flipped", Mistake.SIGN),
    *((float(n), f"yours is {n} times what is expected", Mistake.SCALE) for n in _COUNTS),
    *((1.0 / n, f"yours is 1/{n} of what is expected", Mistake.SCALE) for n in _COUNTS),
    *((ratio, f"yours is {text} of what is expected", Mistake.SCALE) for text, ratio in _RATIOS),
    *((ratio, f"{units} are mixed up", Mistake.SCALE) for units, power in _UNITS for ratio in (power, 1 / power)),
)
"""Factors that are told. That one of so few fits to four digits or more is no chance."""


class Wrong(NamedTuple):
    """What is wrong with one call."""

    problem: str
    """A clause without its full stop."""

    mistake: Mistake
    cause: str | None = None
    """What the problem suggests, as another clause."""


class Margin(NamedTuple):
    """How far a float may be off; a tensor obeys the rules of `tolerance` where both are None."""

    rel: float | None
    abs: float | None

    def around(self, expected: float) -> float:
        """Return the allowed |difference|."""
        if self.rel is None and self.abs is None:
            return RTOL * abs(expected) or ROUNDING_OF_ZERO
        return max((self.rel or 0.0) * abs(expected), self.abs or 0.0)

    def admits(self, actual: float, expected: float) -> bool:
        """Return whether `actual` is near enough; nan is near nan, and inf near inf of its sign."""
        if not (math.isfinite(actual) and math.isfinite(expected)):
            return actual == expected or (math.isnan(actual) and math.isnan(expected))
        return abs(actual - expected) <= self.around(expected)


def wrong_with(call: str, actual: Any, expected: Any, margin: Margin) -> Wrong | None:
    """Return what is wrong with what `call` returned, types before values; None if it is what is expected."""
    parts = list(walk(Node("", actual, expected, None, None), 1))
    for node, misfit in parts:
        if misfit is not None:
            return _of_misfit(call, actual, expected, node, misfit)
    for node, _ in parts:
        if (wrong := _of_part(call, actual, node, margin)) is not None:
            permuted = _permuted(actual, expected, margin)
            return Wrong(wrong.problem, Mistake.ORDER, "the right values in the wrong order") if permuted else wrong
    return None


def _of_misfit(call: str, actual: Any, expected: Any, node: Node, misfit: Misfit) -> Wrong:
    problem = misfit.problem.rstrip(".")
    cause = misfit.hint[0].lower() + misfit.hint[1:].rstrip(".") if misfit.hint else None
    if node.path:
        text = f"{call} returned {returned_text(actual)}: its {node.path} {problem}"
    elif actual is None:
        text = f"{call} returned None, expected {returned_text(expected)}"
        cause = "is a `return` missing?"
    elif misfit.mistake is Mistake.TYPE:
        due = "None" if expected is None else f"{kind_text(expected)}: {returned_text(expected)}"
        text = f"{call} returned {returned_text(actual)}, {kind_text(actual)}, expected {due}"
    else:
        text = f"{call} returned {returned_text(actual)}, which {problem}"
    return Wrong(text, misfit.mistake, cause)


def _of_part(call: str, whole: Any, node: Node, margin: Margin) -> Wrong | None:
    actual, expected = node.actual, node.expected
    if isinstance(expected, Tensor):
        try:
            assert_matches(
                actual, expected, rtol=margin.rel, atol=margin.abs, what=f"its {node.path}" if node.path else "it"
            )
        except Mismatch as mismatch:
            return Wrong(f"{call} returned {returned_text(whole)}: {str(mismatch).rstrip('.')}", mismatch.mistake)
        return None
    if not isinstance(expected, float):
        if actual == expected:
            return None
        yours, due, within = typed_text(actual), typed_text(expected), ""
    else:
        actual = _as_float(actual)
        if margin.admits(actual, expected):
            return None
        yours, due = distinct_texts(actual, expected)
        within = f" (within {margin.around(expected):.2g})"
    returned = f"returned {returned_text(whole)}: its {node.path} is {yours}" if node.path else f"returned {yours}"
    cause, mistake = _explained(actual, expected, margin)
    return Wrong(f"{call} {returned}, expected {due}{within}", mistake, cause)


def _explained(actual: Any, expected: Any, margin: Margin) -> tuple[str | None, Mistake]:
    """Return which factor explains a number, if one does, and the kind of mistake."""
    if isinstance(expected, bool) or not isinstance(expected, int | float):
        return None, Mistake.VALUES
    actual, expected = _as_float(actual), _as_float(expected)
    if not math.isfinite(actual):
        return None, Mistake.NOT_FINITE if math.isfinite(expected) else Mistake.VALUES
    plain = all(number == round(number) and abs(number) < SMALL for number in (actual, expected))
    if not actual or not math.isfinite(expected) or plain:
        return None, Mistake.VALUES
    narrow = min(max(RTOL, margin.around(expected) / abs(expected)), COARSE) if expected else RTOL
    exact = Margin(rel=narrow, abs=None)
    for factor, cause, mistake in FACTORS:
        if exact.admits(actual, factor * expected):
            return cause, mistake
    return None, Mistake.VALUES


def _permuted(actual: Any, expected: Any, margin: Margin) -> bool:
    """Return whether entries, of which one is wrong, are the right ones in another order."""
    if not isinstance(expected, list | tuple) or not all(isinstance(part, int | float) for part in expected):
        return False
    pairs = zip(sorted(map(_as_float, actual)), sorted(map(_as_float, expected)), strict=True)
    return all(margin.admits(one, other) for one, other in pairs)


def _as_float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf
