"""Encodes plain values and tensors as a JSON tree and decodes them; nothing that could carry behaviour travels.

None, bool, int, float, str and list are themselves in JSON; any other value is an object whose one key names its kind:
{"tensor": 3} is the fourth tensor of the frame, {"value": ["Send", {...}]} a value type of course_env.
Student code may have written the tree that the judge decodes. So decoding checks every node and builds only these kinds.
"""

import dataclasses
import sys
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from course_env.value_types import VALUE_TYPES

if TYPE_CHECKING:
    from torch import Tensor

MAX_STRING_LENGTH = 100_000  # where a comparison fails, pytest shows how two strings differ, and long ones take long
MAX_DEPTH = 40
MAX_VALUES = 50_000  # of one result, and of all results of a launch together: more belong into a tensor
MAX_INPUT_VALUES = 1_000_000  # of what a test hands to one rank, which nobody has reason to make large
MAX_KEYS = 10_000
# Student code can choose any number of ints and tuples with one hash. In a set or a dict each is compared with every other.
MAX_ALIKE = 64

ALLOWED = (
    "None, bool, int, float, str, Fraction, list, tuple, dict, torch.Tensor, torch.dtype "
    "and the value types of course_env"
)


class UnsupportedValueError(TypeError):
    """A kind of value that cannot travel between judge and rank."""


class MalformedTreeError(ValueError):
    """A tree that `encode` cannot have written."""


class Allowance:
    """How many values may still travel. The results of a launch share one, because a test can put them together.

    of_inputs: these values come from a test, so they may be more, and no value is suspicious
    """

    def __init__(self, *, of_inputs: bool = False) -> None:
        self.of_inputs = of_inputs
        self.values = MAX_INPUT_VALUES if of_inputs else MAX_VALUES
        self._left = self.values
        self._alike: dict[int, set[Any]] = {}

    def take(self) -> bool:
        """Take one value from the allowance; return whether it was still there."""
        self._left -= 1
        return self._left >= 0

    def has_too_many_like(self, value: Any) -> bool:
        """Return whether more than MAX_ALIKE different values, this one included, have the hash of `value`."""
        if self.of_inputs:
            return False
        try:
            alike = self._alike.setdefault(hash(value), set())
        except TypeError:  # it has no hash, so no set will hold it
            return False
        alike.add(value)
        return len(alike) > MAX_ALIKE


def encode(value: Any, name: str = "the value", allowance: Allowance | None = None) -> tuple[Any, list["Tensor"]]:
    """Return `value` as a JSON tree, and the tensors that the tree refers to by index; errors call the value `name`.

    allowance: how much it may hold; None: what a result may
    Raises: UnsupportedValueError for any other kind of value, one nested deeper than MAX_DEPTH, or too much of it.
    """
    tensors: list[Tensor] = []
    return _encode(value, tensors, allowance or Allowance(), name, 0), tensors


def _too_large(value: Any, kind: type) -> str | None:
    if kind is str and len(value) > MAX_STRING_LENGTH:
        return f"{len(value)} characters, and at most {MAX_STRING_LENGTH} travel."
    if kind is dict and len(value) > MAX_KEYS:
        return f"{len(value)} keys, and at most {MAX_KEYS} travel. Send a list instead."
    return None


def _encode(value: Any, tensors: list["Tensor"], allowance: Allowance, where: str, depth: int) -> Any:  # noqa: PLR0911 - one per kind
    _take(allowance, where, depth)

    def inner(child: Any, step: str) -> Any:
        return _encode(child, tensors, allowance, f"{where}{step}", depth + 1)

    # Exact types: a subclass may lie about itself, so it must not travel under the name of its base.
    kind = type(value)
    if (problem := _too_large(value, kind)) is not None:
        raise UnsupportedValueError(f"{where} has {problem}")
    if value is None or kind in (bool, int, float, str):
        return value
    if kind is list:
        return [inner(child, f"[{i}]") for i, child in enumerate(value)]
    if kind is tuple:
        return {"tuple": [inner(child, f"[{i}]") for i, child in enumerate(value)]}
    if kind is dict:
        return {"dict": [[inner(key, " (a key)"), inner(child, f"[{key!r}]")] for key, child in value.items()]}
    if kind is Fraction:
        return {"fraction": [value.numerator, value.denominator]}
    if VALUE_TYPES.get(kind.__name__) is kind:
        fields = {f.name: inner(getattr(value, f.name), f".{f.name}") for f in dataclasses.fields(value)}
        return {"value": [kind.__name__, fields]}
    return _encode_torch(value, tensors, where)


def _take(allowance: Allowance, where: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise UnsupportedValueError(f"{where} is nested more than {MAX_DEPTH} levels deep.")
    if not allowance.take():
        raise UnsupportedValueError(
            f"At {where} there are more than {allowance.values} values, and no more travel. Send a tensor instead."
        )


def _encode_torch(value: Any, tensors: list["Tensor"], where: str) -> Any:
    torch = sys.modules.get("torch")
    if torch is not None and type(value) in (torch.Tensor, torch.nn.Parameter):
        tensors.append(value)
        return {"tensor": len(tensors) - 1}
    if torch is not None and isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if torch is not None and isinstance(value, torch.Size):
        return {"tuple": list(value)}
    name = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    raise UnsupportedValueError(f"{where} is a {name}, which cannot be handed to the judge. Allowed: {ALLOWED}.")


def decode(tree: Any, tensors: Mapping[str, "Tensor"], allowance: Allowance | None = None) -> Any:
    """Return the value that `encode` made `tree` from.

    allowance: what this value shares with others; None: it has a separate one
    Raises: MalformedTreeError if `encode` cannot have written the tree, or too much of it; student code may have.
    """
    try:
        return _Decoder(dict(tensors), allowance or Allowance()).decode(tree, 0)
    except MalformedTreeError:
        raise
    except (TypeError, ValueError, KeyError, AttributeError, ZeroDivisionError, OverflowError) as error:
        raise MalformedTreeError(f"A node is not as the encoder writes it: {error}") from error


@dataclasses.dataclass(frozen=True, slots=True)
class _Decoder:
    """Decodes one tree."""

    tensors: dict[str, "Tensor"]
    """Those that no node has referred to yet: the encoder gives each node a separate one."""

    allowance: Allowance

    def decode(self, tree: Any, depth: int) -> Any:
        if depth > MAX_DEPTH + 1:
            raise MalformedTreeError(f"The tree has more than {MAX_DEPTH} levels.")
        if not self.allowance.take():
            raise MalformedTreeError(
                f"There are more than {self.allowance.values} values in what the ranks of this launch returned, and no more travel. "
                "A tensor counts as one."
            )
        if isinstance(tree, dict) and "tensor" in tree and len(tree) == 1:
            return self.tensors.pop(str(int(tree["tensor"])))
        value = self._value(tree, depth)
        if self.allowance.has_too_many_like(value):
            raise MalformedTreeError(
                f"More than {MAX_ALIKE} different values have the same hash, which is no accident."
            )
        return value

    def _value(self, tree: Any, depth: int) -> Any:
        if isinstance(tree, str) and len(tree) > MAX_STRING_LENGTH:
            raise MalformedTreeError(f"A text has more than {MAX_STRING_LENGTH} characters.")
        if tree is None or isinstance(tree, bool | int | float | str):
            return tree

        def inner(child: Any) -> Any:
            return self.decode(child, depth + 1)

        if isinstance(tree, list):
            return [inner(child) for child in tree]
        if not isinstance(tree, dict) or len(tree) != 1:
            raise MalformedTreeError("A node is neither a scalar, nor a list, nor an object with one key.")
        ((kind, payload),) = tree.items()
        if kind not in _DECODERS:
            raise MalformedTreeError("A node is of an unknown kind.")
        return _DECODERS[kind](payload, inner)


def _decode_dict(payload: Any, inner: Callable[[Any], Any]) -> Any:
    if len(payload) > MAX_KEYS:
        raise MalformedTreeError(f"A dict has more than {MAX_KEYS} keys.")
    return {inner(key): inner(child) for key, child in payload}


def _decode_value(payload: Any, inner: Callable[[Any], Any]) -> Any:
    name, fields = payload
    cls = VALUE_TYPES[name]
    if set(fields) != {f.name for f in dataclasses.fields(cls)}:
        raise MalformedTreeError(f"A {cls.__name__} has other fields than its class.")
    return cls(**{key: inner(child) for key, child in fields.items()})


def _decode_dtype(payload: Any, _inner: Callable[[Any], Any]) -> Any:
    import torch

    dtype = vars(torch).get(payload)  # getattr would import modules of torch on demand
    if not isinstance(dtype, torch.dtype):
        raise MalformedTreeError("A dtype node names no dtype.")
    return dtype


_DECODERS: dict[str, Callable[[Any, Callable[[Any], Any]], Any]] = {
    "tuple": lambda payload, inner: tuple(inner(child) for child in payload),
    "dict": _decode_dict,
    "fraction": lambda payload, _inner: Fraction(int(payload[0]), int(payload[1])),
    "value": _decode_value,
    "dtype": _decode_dtype,
}
