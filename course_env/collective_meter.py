"""A meter of communication for one rank: which operations it issues, and how much of them it sends.

The grader records what ranks do from outside; this is for a program's own use, such as a laboratory. It sees calls of
torch.distributed, of DDP's reducer in C++, of FSDP2 and of functional collectives.

Bytes are those that one rank sends by ring algorithms. S is the payload, N the size of the group:

    send, broadcast, reduce                      S
    all_reduce                                   2 (N - 1) / N * S
    all_gather, reduce_scatter, all_to_all       (N - 1) / N * S       S: the whole output of an all-gather, else the input
    scatter                                      (N - 1) / N * S       at the root, 0 elsewhere; S: the whole input
    gather                                       S / N                 0 at the root; S: the whole output
    recv, barrier                                0
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import _resolve_process_group
from torch.utils._python_dispatch import TorchDispatchMode


@dataclass(frozen=True, slots=True, kw_only=True)
class Collective:
    """One operation that this rank issued.

    op: its name in torch.distributed, such as all_reduce or send, whatever the form of its tensors
    payload_bytes: S of this module's head; 0 for what moves no data
    group_size: the number of ranks that take part
    bytes_sent: what this rank sends by a ring algorithm
    """

    op: str
    payload_bytes: int
    group_size: int
    bytes_sent: Fraction


class CollectiveMeter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the operations that this rank issues inside a `with` block.

        with CollectiveMeter() as meter:
            loss.backward()
        assert meter.count("all_reduce") == 4
        assert meter.bytes_sent() == 2 * (n - 1) * num_bytes / n

    collectives: all of them, in the order of issue; sends and receives are among them

    Operations that other threads issue are not seen; on a CPU, backward runs in the thread that called it. The making of
    process groups is no operation.

    Raises: RuntimeError inside the block, for an operation that the meter does not know.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.collectives: list[Collective] = []

    def count(self, op: str | None = None) -> int:
        """Return the number of operations, of all kinds unless one is given."""
        return sum(op in (None, one.op) for one in self.collectives)

    def bytes_sent(self, op: str | None = None) -> Fraction:
        """Return the bytes that this rank sent, in all operations unless a kind is given."""
        return sum((one.bytes_sent for one in self.collectives if op in (None, one.op)), Fraction(0))

    def __torch_dispatch__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operator; note it if it communicates."""
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
        size, num_bytes = group.size(), payload(given, group.size())
        share = _SHARE_SENT[op](size, given.get("root_rank") == group.rank()) if size > 1 else 0
        self.collectives.append(
            Collective(op=op, payload_bytes=num_bytes, group_size=size, bytes_sent=Fraction(share) * num_bytes)
        )


def _arguments(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of an operator's call by name, defaults left out."""
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


def _others(size: int) -> Fraction:
    return Fraction(size - 1, size)


_SHARE_SENT: dict[str, Callable[[int, bool], Fraction | int]] = {
    "send": lambda _size, _is_root: 1,
    "broadcast": lambda _size, _is_root: 1,
    "reduce": lambda _size, _is_root: 1,
    "all_reduce": lambda size, _is_root: 2 * _others(size),
    "all_gather": lambda size, _is_root: _others(size),
    "reduce_scatter": lambda size, _is_root: _others(size),
    "all_to_all": lambda size, _is_root: _others(size),
    "scatter": lambda size, is_root: _others(size) if is_root else 0,
    "gather": lambda size, is_root: 0 if is_root else Fraction(1, size),
    "recv": lambda _size, _is_root: 0,
    "barrier": lambda _size, _is_root: 0,
}
"""By operation: the part of its payload that a rank sends, from the group's size and whether the rank is the root."""
