"""Which values of two structures belong together, and where the structures part: in type, shape, dtype, length or keys."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

from torch import Tensor

from course_env.errors import CatalogError, did_you_mean
from grader.harness.compare.diagnosis import explain_shape
from grader.harness.compare.shown_call import part_text
from grader.harness.mistake import Mistake
from grader.harness.wording import dtype_name, listed

KINDS = (Tensor, dict, list, tuple, bool, int, float, str)
MAX_SHOWN = 80  # characters of a student's value in a message
LONGEST_ROW = 12
MAX_KEYS = 20  # unexpected keys looked at: a rank may return any number


class Node(NamedTuple):
    """One value that one rank returned, or a part of it, with what belongs there."""

    path: str
    """As a student would write it: "grads['w'][0]"."""

    actual: Any
    expected: Any
    exact: Any
    """The reference computed in float64, None where the test has none."""

    previous: Any
    """The value from before the step, None where the test has none."""


class Misfit(NamedTuple):
    """Something wrong that is not a difference of numbers."""

    problem: str
    mistake: Mistake
    hint: str | None = None
    """What the problem suggests."""


def walk(node: Node, world_size: int) -> Iterator[tuple[Node, Misfit | None]]:
    """Yield the parts of a value that have no parts themselves, and those where two structures part, with the misfit.

    What is expected leads the way, so a rank cannot make this recurse deeper than the test does.
    Raises: CatalogError if a complex tensor is expected.
    """
    misfit = _misfit(node, world_size)
    steps = {} if misfit or _is_row(node) else _steps(node.expected)
    if not steps:
        yield node, misfit
    for name, step in steps.items():
        exact, previous = _follow(step, node.exact), _follow(step, node.previous)
        yield from walk(Node(node.path + name, step(node.actual), step(node.expected), exact, previous), world_size)


def value_text(value: Any) -> str:
    """Return a short text of any value, however long it is."""
    try:
        text = repr(value[:MAX_SHOWN]) if isinstance(value, str) else repr(value)
    except ValueError:  # an int of more digits than Python prints
        return f"{_kind_text(type(value))} too long to show"
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def _is_row(node: Node) -> bool:
    """Return whether a value is a short list of plain values, which says more as a whole than entry by entry."""
    actual, expected = node.actual, node.expected
    if not isinstance(expected, list | tuple) or not 1 < len(expected) <= LONGEST_ROW or len(actual) != len(expected):
        return False
    kinds = {_kind(part) for part in expected}
    plain = kinds <= {int, bool, str, type(None)}
    return plain and all(_kind(one) is _kind(other) for one, other in zip(actual, expected, strict=True))


def _steps(expected: Any) -> dict[str, Callable[[Any], Any]]:
    """Return how to get each part of a container, by its name in a path; a value that is no container has no parts."""
    if isinstance(expected, dict):
        return {f"[{key!r}]": itemgetter(key) for key in expected}
    if isinstance(expected, list | tuple):
        return {f"[{index}]": itemgetter(index) for index in range(len(expected))}
    if dataclasses.is_dataclass(expected):
        return {f".{field.name}": attrgetter(field.name) for field in dataclasses.fields(expected)}
    return {}


def _follow(step: Callable[[Any], Any], value: Any) -> Any:
    """Take a step in a value that may lack that part; return None if it does."""
    try:
        return step(value)
    except (LookupError, TypeError, AttributeError):
        return None


def _misfit(node: Node, world_size: int) -> Misfit | None:
    """Return why two values cannot be compared part by part, or None."""
    actual, expected = node.actual, node.expected
    actual_kind, expected_kind = _kind(actual), _kind(expected)
    if actual_kind is not expected_kind and not (actual_kind is int and expected_kind is float):
        yours = "" if actual is None or actual_kind is Tensor else f" ({part_text(actual)})"
        return Misfit(f"is {_kind_text(actual_kind)}{yours}, expected {_kind_text(expected_kind)}.", Mistake.TYPE)
    if expected_kind is Tensor:
        return _tensor_misfit(actual, expected, world_size)
    if expected_kind is dict:
        return _key_misfit(actual, expected)
    if expected_kind in (list, tuple) and len(actual) != len(expected):
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
        problem = f"has dtype {dtype_name(actual.dtype)}, expected {dtype_name(expected.dtype)}."
        return Misfit(problem, Mistake.DTYPE)
    return None


def _key_misfit(actual: dict[Any, Any], expected: dict[Any, Any]) -> Misfit | None:
    missing = [key for key in expected if key not in actual]
    extra = [key for key in actual if key not in expected]
    lacks = f"lacks {listed([value_text(key) for key in missing])}" if missing else ""
    has = f"has {listed([value_text(key) for key in extra])}, which nobody expects" if extra else ""
    if not lacks and not has:
        return None
    problem = " and ".join(filter(None, (lacks, has)))
    return Misfit(f"{problem}.", Mistake.KEYS, _likely_key(extra, missing))


def _likely_key(extra: Sequence[Any], missing: Sequence[Any]) -> str | None:
    """Return which missing key an unexpected one was meant to be, if two are close."""
    hints = (did_you_mean(key, _key_texts(missing)) for key in _key_texts(extra))
    return next((hint for hint in hints if "Did you mean" in hint), None)


def _key_texts(keys: Sequence[Any]) -> list[str]:
    """Return the beginnings of the first keys that are strings: a rank may return any number, of any length."""
    return [key[:MAX_SHOWN] for key in keys[:MAX_KEYS] if isinstance(key, str)]


def _kind(value: Any) -> type:
    return next((kind for kind in KINDS if isinstance(value, kind)), type(value))


def kind_text(value: Any) -> str:
    """Return the kind of a value with its article: "an int"; of None, "None"."""
    return _kind_text(_kind(value))


def _kind_text(kind: type) -> str:
    if kind is type(None):
        return "None"
    return f"{'an' if kind.__name__[0] in 'aeiou' else 'a'} {kind.__name__}"
