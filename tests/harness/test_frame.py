"""Frames in memory files are bounded, whole or absent, and readable after their writer has ended."""

import json
import os

import pytest
import torch

from grader.harness.protocol.codec import UnsupportedValueError
from grader.harness.protocol.frame import (
    HEADER,
    MAGIC,
    FrameTooLargeError,
    MalformedFrameError,
    pack,
    read_frame,
    read_written,
    sealed_input,
    sealed_output,
    unpack,
    write_frame,
)


@pytest.fixture
def output():
    """A sealed output of 4 KiB."""
    descriptor = sealed_output(4096)
    yield descriptor
    os.close(descriptor)


def test_a_written_frame_is_read_back(output):
    """A frame that was written is read back with its kind and value."""
    write_frame(output, pack("returned", [1, 2]))

    assert unpack(read_frame(output)) == ("returned", [1, 2])


def test_a_later_frame_replaces_an_earlier_one(output):
    """If student code forged a frame before the real one was written, the judge reads the real one."""
    write_frame(output, pack("returned", "forged"))
    write_frame(output, pack("returned", "real"))

    assert unpack(read_frame(output)).value == "real"


def test_an_unfinished_frame_is_no_frame(output):
    """A rank that dies while it writes has returned nothing, because the magic is written last."""
    data = pack("returned", "x" * 100)
    os.pwrite(output, data[8:60], 8)

    assert read_frame(output) is None


def test_an_empty_output_holds_no_frame(output):
    """A rank that wrote nothing has returned nothing."""
    assert read_frame(output) is None


def test_a_header_that_promises_too_much_holds_no_frame(output):
    """A header with lengths beyond the file is not believed, however large they are."""
    os.pwrite(output, HEADER.pack(b"CRSFRM1\n", 2**63, 2**63), 0)

    assert read_frame(output) is None


def test_an_output_cannot_grow(output):
    """Writing beyond an output is an error in the rank, and takes no memory of the machine."""
    with pytest.raises(OSError, match="not permitted"):
        os.pwrite(output, b"x", 4096)


def test_a_frame_that_does_not_fit_says_how_large_it_is(output):
    """The error names both sizes; the kernel's "not permitted" would explain nothing."""
    with pytest.raises(FrameTooLargeError, match=r"takes 2\.0 MiB, and at most 0\.00390625 travel"):
        write_frame(output, pack("returned", ["x" * (1 << 16)] * 32))


def test_a_frame_that_would_not_be_read_is_not_written():
    """The limit on JSON is checked when a value is packed, and the message names it."""
    with pytest.raises(UnsupportedValueError, match="too large: 17 MiB without its tensors, of at most 4"):
        pack("returned", ["x" * (1 << 16)] * (17 << 4))


def test_an_output_cannot_be_cut_short(output):
    """A sealed output cannot shrink while the judge reads it."""
    with pytest.raises(OSError, match="not permitted"):
        os.ftruncate(output, 0)


def test_inputs_cannot_be_changed():
    """No rank can change the inputs that another process reads."""
    descriptor = sealed_input(b"inputs")
    with pytest.raises(OSError, match="not permitted"):
        os.pwrite(descriptor, b"x", 0)
    os.close(descriptor)


def test_only_what_was_written_is_read(output):
    """The zeros after a short text are not returned."""
    os.pwrite(output, b"stack", 0)

    assert read_written(output, 4096) == b"stack"


def block_of(header: object) -> bytes:
    """Return a safetensors block that holds a header and no data."""
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text


def tensors_of(shape: list[int], count: int = 1) -> dict[str, object]:
    """Return a header of tensors without elements."""
    return {str(i): {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]} for i in range(count)}


@pytest.mark.parametrize(
    "header",
    [
        tensors_of([0, 1 << 40]),
        tensors_of([1 << 20, 0, 1 << 20]),
        tensors_of([0] * 10_000),
        tensors_of([0], count=60_000),
        {"0": {"dtype": "F32", "shape": "abc", "data_offsets": [0, 0]}},
        {"0": None},
        [],
        0,
    ],
    ids=["long-dim", "long-dims", "many-dims", "many-tensors", "text", "null", "list", "number"],
)
def test_a_small_block_holds_nothing_that_is_large_for_others(header):
    """A tensor without elements can have a dim of any length, and a sum over the other one would then take terabytes."""
    text, block = b'["returned",{"tensor":0}]', block_of(header)

    with pytest.raises(MalformedFrameError):
        unpack(HEADER.pack(MAGIC, len(text), len(block)) + text + block)


def test_an_ordinary_empty_tensor_travels():
    """A batch of no examples is an honest result."""
    assert unpack(pack("returned", torch.empty(0, 4096))).value.shape == (0, 4096)
