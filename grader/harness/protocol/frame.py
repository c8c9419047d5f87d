"""A frame: its kind, a JSON tree and the tensors that the tree refers to, in a memory file of fixed size.

Layout: 8 bytes magic, two little-endian u64 lengths, the JSON [kind, tree], then a safetensors block.
Frames lie in memfds whose size is sealed. So a rank can neither flood the judge nor block while it writes, and what it
has written stays readable after it was killed. The magic is written last: a frame is whole, or it is no frame.
"""

import fcntl
import json
import math
import os
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from grader.harness.protocol.codec import MAX_VALUES, Allowance, UnsupportedValueError, decode, encode

if TYPE_CHECKING:
    from torch import Tensor

INPUTS = "inputs"
MAGIC = b"CRSFRM1\n"
HEADER = struct.Struct("<8sQQ")
MAX_JSON_BYTES, MAX_INPUT_JSON_BYTES = 4 << 20, 64 << 20
# The safetensors block begins with a header, which lists the tensors: about a hundred bytes each.
MAX_BLOCK_HEADER_BYTES = 2 << 20
MAX_DIMS = 64  # torch's own bound in most operations
MAX_ELEMENTS = 1 << 27  # also of an empty tensor without its dims of 0, whose other dims can be any number
CHUNK_BYTES = 16 << 10

# Fixed in the kernel's ABI; Python 3.11's fcntl does not name them.
F_ADD_SEALS = 1033
SEAL_SEAL, SEAL_SHRINK, SEAL_GROW, SEAL_WRITE = 1, 2, 4, 8


class MalformedFrameError(ValueError):
    """Bytes that are no frame."""


class FrameTooLargeError(ValueError):
    """A frame larger than the memory file for it."""


class Frame(NamedTuple):
    """What was packed into a frame."""

    kind: str
    """One of "inputs", "returned", "raised" and "changed"."""

    value: Any


def pack(kind: str, value: Any) -> bytes:
    """Return `value` as one frame.

    Raises: UnsupportedValueError if the value cannot travel, or its JSON is too large.
    """
    allowance = Allowance(of_inputs=kind == INPUTS)
    tree, tensors = encode(value, f"the {kind} value", allowance)
    text = json.dumps([kind, tree], separators=(",", ":")).encode()
    if len(text) > (limit := _max_json_bytes(allowance)):
        raise UnsupportedValueError(
            f"the {kind} value is too large: {len(text) >> 20} MiB without its tensors, of at most {limit >> 20}."
        )
    block = _pack_tensors(tensors)
    return HEADER.pack(MAGIC, len(text), len(block)) + text + block


def _max_json_bytes(allowance: Allowance) -> int:
    return MAX_INPUT_JSON_BYTES if allowance.of_inputs else MAX_JSON_BYTES


def _pack_tensors(tensors: "list[Tensor]") -> bytes:
    if not tensors:
        return b""
    import safetensors.torch

    # clone: safetensors refuses tensors that share storage, and a view must not carry all of its base.
    plain = {str(i): tensor.detach().cpu().contiguous().clone() for i, tensor in enumerate(tensors)}
    try:
        return safetensors.torch.save(plain)
    except KeyError as error:
        raise UnsupportedValueError(f"A tensor of {error} cannot be handed to the judge.") from error


def unpack(data: bytes, device: str | None = None, allowance: Allowance | None = None) -> Frame:
    """Return what is in a frame, with its tensors on `device` (None: the CPU).

    allowance: how many values may be in this frame and others together; None: it has a separate one
    Raises: MalformedFrameError if `data` is not exactly one frame; the bytes may come from student code.
    """
    allowance = allowance or Allowance()
    if len(data) < HEADER.size:
        raise MalformedFrameError("The frame is shorter than its header.")
    magic, text_bytes, block_bytes = HEADER.unpack_from(data)
    if magic != MAGIC or text_bytes > _max_json_bytes(allowance) or len(data) != HEADER.size + text_bytes + block_bytes:
        raise MalformedFrameError("The frame's header does not describe its bytes.")
    try:
        kind, tree = json.loads(data[HEADER.size : HEADER.size + text_bytes])
        tensors = _unpack_tensors(data[HEADER.size + text_bytes :], device)
        return Frame(str(kind), decode(tree, tensors, allowance))
    except (TypeError, ValueError, AttributeError, RecursionError) as error:
        raise MalformedFrameError(f"The frame cannot be read: {error}") from error


def _unpack_tensors(block: bytes, device: str | None) -> "dict[str, Tensor]":
    if not block:
        return {}
    import safetensors
    import safetensors.torch

    _check_block(block)
    try:
        tensors = safetensors.torch.load(block)
    except (safetensors.SafetensorError, KeyError, RuntimeError) as error:
        raise MalformedFrameError(f"The tensors cannot be read: {error}") from error
    return tensors if device is None else {name: tensor.to(device) for name, tensor in tensors.items()}


def _check_block(block: bytes) -> None:
    """Refuse what is small in a frame and large for those who work with it.

    Raises: MalformedFrameError; TypeError, ValueError or AttributeError for what is no header.
    """
    header_bytes = int.from_bytes(block[:8], "little")
    if header_bytes > MAX_BLOCK_HEADER_BYTES:
        raise MalformedFrameError(f"The list of its tensors takes {header_bytes} bytes.")
    header = json.loads(block[8 : 8 + header_bytes])
    if len(header) > MAX_VALUES:
        raise MalformedFrameError(f"It has {len(header)} tensors, and at most {MAX_VALUES} travel.")
    for tensor in header.values():
        shape = tensor.get("shape", ())
        if len(shape) > MAX_DIMS or math.prod(dim for dim in shape if dim) > MAX_ELEMENTS:
            raise MalformedFrameError(f"A tensor has {len(shape)} dims, or dims of {MAX_ELEMENTS} elements and more.")


def sealed_input(data: bytes) -> int:
    """Return the descriptor of a memory file that holds `data` and that nobody can change any more."""
    descriptor = os.memfd_create("input", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    _write_at(descriptor, data, 0)
    fcntl.fcntl(descriptor, F_ADD_SEALS, SEAL_SEAL | SEAL_SHRINK | SEAL_GROW | SEAL_WRITE)
    return descriptor


def sealed_output(num_bytes: int) -> int:
    """Return the descriptor of a memory file of `num_bytes` zeros: writable, but never larger or smaller."""
    descriptor = os.memfd_create("output", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, num_bytes)  # sparse: a page that nobody writes to takes no memory
    fcntl.fcntl(descriptor, F_ADD_SEALS, SEAL_SEAL | SEAL_SHRINK | SEAL_GROW)
    return descriptor


def write_frame(descriptor: int, data: bytes) -> None:
    """Write one frame into a sealed output, its magic last.

    Raises: FrameTooLargeError if the frame does not fit.
    """
    limit = os.fstat(descriptor).st_size
    if len(data) > limit:
        raise FrameTooLargeError(f"it takes {len(data) / (1 << 20):.1f} MiB, and at most {limit / (1 << 20):g} travel.")
    _write_at(descriptor, data[len(MAGIC) :], len(MAGIC))
    _write_at(descriptor, MAGIC, 0)


def size_of_frame(descriptor: int) -> int:
    """Return the number of bytes of the frame in a sealed output, 0 if there is no finished one."""
    header = os.pread(descriptor, HEADER.size, 0)
    if len(header) < HEADER.size or not header.startswith(MAGIC):
        return 0
    _, text_bytes, block_bytes = HEADER.unpack(header)
    total = HEADER.size + text_bytes + block_bytes
    return total if total <= os.fstat(descriptor).st_size else 0


def read_frame(descriptor: int) -> bytes | None:
    """Return the frame in a sealed output, or None if there is no finished one."""
    return read_at_most(descriptor, size_of_frame(descriptor)) or None


def read_at_most(descriptor: int, num_bytes: int) -> bytes:
    """Return the first `num_bytes` of a memory file, or all of a shorter one."""
    chunks: list[bytes] = []
    offset = 0
    while offset < num_bytes and (chunk := os.pread(descriptor, num_bytes - offset, offset)):
        chunks.append(chunk)
        offset += len(chunk)
    return b"".join(chunks)


def read_written(descriptor: int, limit: int) -> bytes:
    """Return what was written to the start of a sealed output; read no further than the first CHUNK_BYTES of zeros."""
    chunks: list[bytes] = []
    offset = 0
    while offset < limit and any(chunk := os.pread(descriptor, min(CHUNK_BYTES, limit - offset), offset)):
        chunks.append(chunk)
        offset += len(chunk)
    return b"".join(chunks).rstrip(b"\0")


def _write_at(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
