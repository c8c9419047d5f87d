"""A meter of communication for one rank: which operations it issues, and how much of them it sends.

The grader records from outside what ranks do; this meter is for a program's own use, as in a laboratory. It sees what
torch.distributed, DDP's reducer in C++, FSDP2 and functional collectives issue.

Bytes are those that one rank sends by ring algorithms: see `course_env.ring_cost`.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import _resolve_process_group
from torch.utils._python_dispatch import TorchDispatchMode

from course_env.ring_cost import share_sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Collective:
    """One operation that this rank issued."""

    op: str
    """Its name in torch.distributed, such as all_reduce or send, whatever the form of its tensors."""

    payload_bytes: int
    """S in `course_env.ring_cost`; 0 for an operation that moves no data."""

    group_size: int
    """The number of ranks that take part."""

    bytes_sent: Fraction
    """What this rank sends by a ring algorithm."""


class CollectiveMeter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the operations that this rank issues inside a `with` block.

        with CollectiveMeter() as meter:
            loss.backward()
        assert meter.count("all_reduce") == 4
        assert meter.bytes_sent() == 2 * (n - 1) * num_bytes / n

    collectives: all of them in the order of issue, sends and receives included

    The meter does not see operations that other threads issue; on a CPU, backward runs in the thread that called it.
    Making a process group is not an operation.

    Raises: RuntimeError inside the block, for an operation that the meter does not know.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.collectives: list[Collective] = []

    def count(self, op: str | None = None) -> int:
        """Return the number of operations, of all kinds unless one is given."""
        return sum(op in (None, collective.op) for collective in self.collectives)

    def bytes_sent(self, op: str | None = None) -> Fraction:
        """Return the bytes that this rank sent, in all operations unless a kind is given."""
        chosen = (collective for collective in self.collectives if op in (None, collective.op))
        return sum((collective.bytes_sent for collective in chosen), Fraction(0))

    def __torch_dispatch__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operator, and note it if it communicates."""
        del types
        returned = func(*args, **(kwargs or {}))
        if func.namespace in _OPERATIONS:
            self._note(func, _arguments(func, args, kwargs or {}))
        return returned

    def _note(self, func: Any, given: dict[str, Any]) -> None:
        name = func._opname.strip("_")  # noqa: SLF001 - torch's own name of an operator, without its namespace
        if name in _SILENT:
            return
        known = _OPERATIONS[func.namespace].get(name)
        if known is None:
            raise RuntimeError(f"CollectiveMeter does not know {func}. Add it to the tables of {__name__}.")
        group = _group(given)
        op, payload = known
        num_bytes = payload(given, group.size())
        share = share_sent(op, group.size(), is_root=given.get("root_rank") == group.rank())
        self.collectives.append(
            Collective(op=op, payload_bytes=num_bytes, group_size=group.size(), bytes_sent=share * num_bytes)
        )


def _arguments(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of an operator's call by name, without those left at their default."""
    names = [argument.name for argument in func._schema.arguments]  # noqa: SLF001 - the only place that tells them
    return dict(zip(names, args, strict=False)) | kwargs


def _group(given: dict[str, Any]) -> dist.ProcessGroup:
    if "group_name" in given:
        return _resolve_process_group(given["group_name"])
    return dist.ProcessGroup.unbox(given["process_group"])


def _tensors_in(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    else:
        for item in value:
            yield from _tensors_in(item)


def _num_bytes(value: Tensor | Iterable[Any]) -> int:
    return sum(tensor.nbytes for tensor in _tensors_in(value))


Payload = Callable[[dict[str, Any], int], int]


def _of(name: str) -> Payload:
    """Return a payload: the tensors of this argument."""
    return lambda given, _: _num_bytes(given[name])


def _times_size(name: str) -> Payload:
    """Return a payload: the tensors of this argument, once for each rank."""
    return lambda given, size: _num_bytes(given[name]) * size


def _nothing(_given: dict[str, Any], _size: int) -> int:
    return 0


_OPERATIONS: dict[str, dict[str, tuple[str, Payload]]] = {
    "c10d": {
        "allreduce": ("all_reduce", _of("tensors")),
        "allreduce_coalesced": ("all_reduce", _of("tensors")),
        "broadcast": ("broadcast", _of("tensors")),
        "reduce": ("reduce", _of("tensors")),
        "allgather": ("all_gather", _of("output_tensors")),
        "allgather_base": ("all_gather", _of("output_tensor")),
        "allgather_coalesced": ("all_gather", _of("output_lists")),
        "allgather_into_tensor_coalesced": ("all_gather", _of("outputs")),
        "reduce_scatter": ("reduce_scatter", _of("input_tensors")),
        "reduce_scatter_base": ("reduce_scatter", _of("input_tensor")),
        "reduce_scatter_tensor_coalesced": ("reduce_scatter", _of("inputs")),
        "alltoall": ("all_to_all", _of("input_tensors")),
        "alltoall_base": ("all_to_all", _of("input")),
        "gather": ("gather", _times_size("input_tensors")),
        "scatter": ("scatter", _times_size("output_tensors")),
        "send": ("send", _of("tensors")),
        "recv": ("recv", _of("tensors")),
        "recv_any_source": ("recv", _of("tensors")),
        "barrier": ("barrier", _nothing),
        "monitored_barrier": ("barrier", _nothing),
    },
    "_c10d_functional": {
        "all_reduce": ("all_reduce", _of("input")),
        "all_reduce_coalesced": ("all_reduce", _of("inputs")),
        "broadcast": ("broadcast", _of("input")),
        "all_gather_into_tensor": ("all_gather", _times_size("input")),
        "all_gather_into_tensor_coalesced": ("all_gather", _times_size("inputs")),
        "reduce_scatter_tensor": ("reduce_scatter", _of("input")),
        "reduce_scatter_tensor_coalesced": ("reduce_scatter", _of("inputs")),
        "all_to_all_single": ("all_to_all", _of("input")),
    },
}

# Operators of these namespaces that communicate nothing themselves.
_SILENT = frozenset(("wait_tensor", "wrap_tensor_autograd"))
