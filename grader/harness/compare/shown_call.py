"""A call and its values, as a student would type them: short, and exact where that is short enough."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from grader.harness.wording import dtype_name

LONGEST_ARGUMENT = 120
LONGEST_RETURNED = 240
MAX_SHOWN_ENTRIES = 8  # of a tensor
MAX_SHOWN_PARTS = 40  # of a container: student code may have made it
MAX_SHOWN_DEPTH = 4
MAX_INT_BITS = 400
LONG_FLOAT = 10  # characters of the usual text


def call_text(function: str, arguments: Mapping[str, Any] | tuple[Any, ...]) -> str:
    """Return a call as "f(n=1.75e+11, cfg=...)"."""
    if isinstance(arguments, tuple):
        texts = [_cut(typed_text(value), LONGEST_ARGUMENT) for value in arguments]
    else:
        texts = [f"{name}={_cut(typed_text(value), LONGEST_ARGUMENT)}" for name, value in arguments.items()]
    return f"{function}({', '.join(texts)})"


def returned_text(value: Any) -> str:
    """Return the text of a whole value that student code returned."""
    return _cut(typed_text(value), LONGEST_RETURNED)


def typed_text(value: Any, depth: int = 0) -> str:
    """Return a value about as one would type it."""
    if isinstance(value, str):
        return repr(value[:LONGEST_RETURNED])
    if isinstance(value, int) and value.bit_length() > MAX_INT_BITS:
        return f"an int of {value.bit_length()} bits"
    if isinstance(value, float):
        return float_text(value)
    if isinstance(value, Tensor):
        return _tensor_text(value)
    if isinstance(value, list | tuple | dict) or (dataclasses.is_dataclass(value) and not isinstance(value, type)):
        return _container_text(value, depth + 1) if depth < MAX_SHOWN_DEPTH else "..."
    return repr(value)


def _container_text(value: Any, depth: int) -> str:
    if isinstance(value, dict):
        texts = [f"{typed_text(key, depth)}: {typed_text(part, depth)}" for key, part in _some(value.items())]
        return "{" + _joined(texts, value) + "}"
    if isinstance(value, list | tuple):
        inside = _joined([typed_text(part, depth) for part in _some(value)], value)
        if isinstance(value, list):
            return f"[{inside}]"
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    return _dataclass_text(value, depth)


def float_text(value: float) -> str:
    """Return a float as a text that gives it back, and that is short if there is a short one."""
    short, exact = f"{value:.6g}", repr(value)
    return short if len(exact) > LONG_FLOAT and float(short) == value else exact


def _some(parts: Any) -> list[Any]:
    return [part for part, _ in zip(parts, range(MAX_SHOWN_PARTS), strict=False)]


def _joined(texts: list[str], whole: Any) -> str:
    return ", ".join(texts) + (", ..." if len(whole) > MAX_SHOWN_PARTS else "")


def _tensor_text(value: Tensor) -> str:
    if value.numel() <= MAX_SHOWN_ENTRIES:
        return f"tensor({typed_text(value.tolist())}, {dtype_name(value.dtype)})"
    return f"a tensor of shape {tuple(value.shape)}, {dtype_name(value.dtype)}"


def _dataclass_text(value: Any, depth: int) -> str:
    """Return a value type without the fields that have their default."""
    texts = []
    for field in dataclasses.fields(value):
        held = getattr(value, field.name)
        if field.default is dataclasses.MISSING or held != field.default:
            texts.append(f"{field.name}={typed_text(held, depth)}")
    return f"{type(value).__name__}({', '.join(texts)})"


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}..."
