"""Parts of rank programs: call a student's function and say how that ended, make groups, see what became of tensors.

`call_each` is a whole program, which a test can launch as it is.
"""

import copy
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


def call_each(student: Any, *, function: str, calls: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Call one of the student's functions once per dict of arguments.

    `values` holds what each call returned, `errors` what it raised as `attempt` reports it, "" where it returned. The value
    is None for a ValueError; for any other error it is a text, so that no test takes it for an answer. As
    observed, `written` says whether the call changed its arguments. Raises: NotImplementedError, which is that of a stub.
    """
    called = getattr(student, function)
    values: list[Any] = []
    errors: list[str] = []
    written: list[bool] = []
    for arguments in calls:
        before = copy.deepcopy(arguments)
        value: Any
        try:
            value, error = attempt(partial(called, **arguments))
        except NotImplementedError:
            raise
        except Exception as other:  # noqa: BLE001 - which call raised it, and whether another error was due, is for the test
            error = f"{type(other).__name__}: {other}{_place(other, called)}"
            value = f"raised {error}"
        values.append(f"the complex number {value}" if isinstance(value, complex) else value)  # which does not travel
        errors.append(error)
        written.append(not same(before, arguments))
    return {"values": values, "errors": errors, "observed": {"written": written}}


def _place(error: Exception, called: Any) -> str:
    """Return the innermost line of the student's file at which `error` was raised, as " (at file.py:12)"."""
    file = getattr(getattr(called, "__code__", None), "co_filename", None)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f" (at {Path(file).name}:{lines[-1]})" if file and lines else ""


def attempt(call: Callable[[], T], catching: tuple[type[Exception], ...] = (ValueError,)) -> tuple[T | None, str]:
    """Return what `call` returned and "", or None and what it raised, as "ValueError: the text".

    The name is the one in `catching`: who promises a ValueError may raise a kind of it. Raises: what is not in
    `catching`. The judge then names rank and line, which says more than a report could.
    """
    try:
        return call(), ""
    except catching as error:
        name = next(kind.__name__ for kind in catching if isinstance(error, kind))
        return None, f"{name}: {error}"


def error_types(errors: Iterable[str]) -> list[str]:
    """Return the name of the exception in each report of `attempt`, "" where the call returned."""
    return [error.partition(":")[0] for error in errors]


def make_group(members: Sequence[int] | None) -> Any:
    """Make the group of these global ranks, in this order, as every rank must; None stands for all ranks.

    Returns: the group, which is None for all ranks; for a rank outside it something of which `stands_aside` is true.
    """
    return None if members is None else dist.new_group(list(members), sort_ranks=False)


def stands_aside(group: Any) -> bool:
    """Whether this rank is outside of `group`, which `make_group` returned."""
    return group is dist.GroupMember.NON_GROUP_MEMBER


def group_among(groups: Iterable[Sequence[int]] | None) -> Any:
    """Make all these groups, as every rank must, and return the one that this rank is in.

    Returns: None, which stands for all ranks, if `groups` is None or this rank is in none of them.
    """
    made = [make_group(members) for members in groups or ()]
    return next((group for group in made if not stands_aside(group)), None)


class WriteWatch:
    """Tells which of some tensors were written to since it was made, be it by the values that they had."""

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self._watched = [(tensor, _version(tensor), tensor.detach().clone()) for tensor in tensors]

    def written(self) -> list[bool]:
        """Return for each tensor whether it was written to."""
        # torch counts writes, but not those that go round it, such as by .data: hence the copies.
        return [
            _version(tensor) != version or not same(tensor.detach(), copied)
            for tensor, version, copied in self._watched
        ]


def share_memory(ones: Iterable[Tensor], others: Iterable[Tensor]) -> bool:
    """Whether one of `ones` keeps memory alive that one of `others` keeps alive, too."""
    return bool(_storages(ones) & _storages(others))


def tensors_in(value: Any) -> list[Tensor]:
    """Return the tensors in `value`: itself, or those in a list, a tuple or a dict's values, at any depth."""
    if isinstance(value, Tensor):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [tensor for part in parts for tensor in tensors_in(part)]


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal, also inside lists, tuples and dicts; for tensors element by element, where NaN equals NaN."""
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and one.dtype == other.dtype and _equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return one is other or bool(one == other)


def _version(tensor: Tensor) -> int:
    """Return what torch counts up at every write to a tensor."""
    return tensor._version  # noqa: SLF001 - torch has no public name for it


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and bool(((one == other) | (one.isnan() & other.isnan())).all())


def _storages(tensors: Iterable[Tensor]) -> set[int]:
    storages = [tensor.untyped_storage() for tensor in tensors]
    return {storage.data_ptr() for storage in storages if storage.nbytes() > 0}
