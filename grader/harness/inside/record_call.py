"""What a call of a process group's method means: the operation's public name, its sizes and its options."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch.distributed import ReduceOp


@dataclass(frozen=True, slots=True)
class Method:
    """One method of torch's ProcessGroup."""

    op: str
    """Public name of the operation."""

    inputs: int | None = None
    """Index of the argument that it reads from."""

    outputs: int | None = None
    """Index of the argument that it writes to."""


# By value: the name that pybind11 makes of such an enum member costs a new fork a millisecond.
REDUCE_OPS = {member.value: name for name, member in ReduceOp.RedOpType.__members__.items()}
POINT_TO_POINT = ("send", "recv", "recv_anysource")
REDUCING = ("all_reduce", "reduce", "reduce_scatter")
ROOTED = ("broadcast", "reduce", "gather", "scatter")

# Both the old and the new names of torch 2.13: C++ and Python, torch and students call either.
METHODS: Mapping[str, Method] = {
    "allreduce": Method("all_reduce", 0, 0),
    "allreduce_coalesced": Method("all_reduce_coalesced", 0, 0),
    "broadcast": Method("broadcast", 0, 0),
    "reduce": Method("reduce", 0, 0),
    "allgather": Method("all_gather", 1, 0),
    "allgather_coalesced": Method("all_gather_coalesced", 1, 0),
    "all_gather_single": Method("all_gather_single", 1, 0),
    "_allgather_base": Method("all_gather_single", 1, 0),
    "all_gather_single_coalesced": Method("all_gather_single_coalesced", 1, 0),
    "allgather_into_tensor_coalesced": Method("all_gather_single_coalesced", 1, 0),
    "reduce_scatter": Method("reduce_scatter", 1, 0),
    "reduce_scatter_single": Method("reduce_scatter_single", 1, 0),
    "_reduce_scatter_base": Method("reduce_scatter_single", 1, 0),
    "reduce_scatter_single_coalesced": Method("reduce_scatter_single_coalesced", 1, 0),
    "reduce_scatter_tensor_coalesced": Method("reduce_scatter_single_coalesced", 1, 0),
    "gather": Method("gather", 1, 0),
    "scatter": Method("scatter", 1, 0),
    "alltoall": Method("all_to_all", 1, 0),
    "all_to_all_single": Method("all_to_all_single", 1, 0),
    "alltoall_base": Method("all_to_all_single", 1, 0),
    "send": Method("send", 0, None),
    "recv": Method("recv", None, 0),
    "recv_anysource": Method("recv", None, 0),
    "barrier": Method("barrier"),
    "monitored_barrier": Method("monitored_barrier"),
}


class PeerError(RuntimeError):
    """A message to or from a rank with which gloo cannot exchange one; the text follows the name of the rank.

    It is raised before gloo is asked, which says "Pair is not connected", crashes, or hangs.
    """


class Call(NamedTuple):
    """One call of a method."""

    inputs: tuple[int, ...]
    """Number of elements of each tensor that is read, or of each part of an all-to-all."""

    outputs: tuple[int, ...]
    """The same of what is written."""

    dtype: str
    """If tensors have several dtypes, all are counted in bytes, as uint8."""

    itemsize: int
    reduce_op: str
    root: int | None
    """The root's rank in the group."""

    peer: int | None
    """The peer's rank in the group."""

    tag: int
    is_async: bool


def call_of(name: str, size: int, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Call:
    """Return what method `name` of a group of `size` ranks does with these arguments."""
    method = METHODS[name]
    values = (*args, *kwargs.values()) if kwargs else args
    inputs, outputs = _tensors_at(values, method.inputs), _tensors_at(values, method.outputs)
    sizes = _sizes(inputs, outputs)
    if method.op == "all_to_all_single":
        sizes = sizes._replace(
            inputs=_split(inputs, values, 3, sizes.inputs, size),
            outputs=_split(outputs, values, 2, sizes.outputs, size),
        )
    options = values[-1] if values and hasattr(values[-1], "asyncOp") else None
    peer, tag = _peer_and_tag(name, values)
    return Call(
        *sizes,
        reduce_op=_reduce_op(values, options) if method.op.startswith(REDUCING) else "",
        root=_root(values, options) if method.op in ROOTED else None,
        peer=peer,
        tag=tag,
        is_async=bool(getattr(options, "asyncOp", method.op != "monitored_barrier")),
    )


class _Sizes(NamedTuple):
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    dtype: str
    itemsize: int


def _sizes(inputs: Sequence[torch.Tensor], outputs: Sequence[torch.Tensor]) -> _Sizes:
    dtypes = {tensor.dtype for tensor in (*inputs, *outputs)}
    if len(dtypes) == 1:
        dtype = dtypes.pop()
        name = str(dtype).removeprefix("torch.")
        return _Sizes(tuple(t.numel() for t in inputs), tuple(t.numel() for t in outputs), name, dtype.itemsize)
    return _Sizes(tuple(t.nbytes for t in inputs), tuple(t.nbytes for t in outputs), "uint8" if dtypes else "", 1)


def _tensors_at(values: Sequence[Any], index: int | None) -> list[torch.Tensor]:
    return list(_flat(values[index])) if index is not None and index < len(values) else []


def _flat(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _flat(item)


def _split(
    tensors: Sequence[torch.Tensor], values: Sequence[Any], index: int, numels: tuple[int, ...], size: int
) -> tuple[int, ...]:
    """Return the number of elements for each rank: as many rows as the split sizes say, or equal parts without them."""
    rows = values[index] if index < len(values) else None
    if not tensors or not isinstance(rows, list | tuple):
        return numels
    if not rows:
        return (numels[0] // size,) * size
    length = tensors[0].shape[0] if tensors[0].dim() else 0
    per_row = numels[0] // length if length else 0
    return tuple(int(row) * per_row for row in rows)


def _reduce_op(values: Sequence[Any], options: Any) -> str:
    op: Any = options.reduceOp if options is not None else next(filter(_is_reduce_op, values), ReduceOp.SUM)
    return REDUCE_OPS.get(int(getattr(op, "op", op)), "")


def _is_reduce_op(value: Any) -> bool:
    return isinstance(value, ReduceOp | ReduceOp.RedOpType)


def _root(values: Sequence[Any], options: Any) -> int | None:
    return options.rootRank if options is not None else next(filter(_is_int, values), None)


def _peer_and_tag(name: str, values: Sequence[Any]) -> tuple[int | None, int]:
    match name, list(filter(_is_int, values)) if name in POINT_TO_POINT else ():
        case "send" | "recv", [peer, tag]:
            return peer, tag
        case "recv_anysource", [tag]:
            return None, tag
    return None, 0


def check_peer(name: str, args: Sequence[Any], kwargs: Mapping[str, Any], rank: int, size: int) -> None:
    """Raise PeerError if method `name`, called by `rank` of a group of `size` ranks, names a peer that cannot be."""
    peer, _ = _peer_and_tag(name, (*args, *kwargs.values()))
    verb = "sends to" if name == "send" else "receives from"
    if peer == rank:
        raise PeerError(f"{verb} itself: gloo has no connection from a rank to itself.")
    if peer is not None and not 0 <= peer < size:
        there_are = f"the ranks 0 to {size - 1}" if size > 1 else "the rank 0"
        raise PeerError(f"{verb} group rank {peer}, and in the group there are only {there_are}.")


def _is_int(value: Any) -> bool:
    return isinstance(value, int)
