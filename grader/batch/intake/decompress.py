"""Undoes the compression around a tar file: gzip, bzip2 or xz, of one part or of several, with or without zeros after them."""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

from grader.batch.intake.bounds import damaged, max_unpacked, require_unpacked

MAX_XZ_MEMORY = 128 << 20  # `xz -9` needs half of it
MAX_PARTS = 4096  # parallel tools write one for each 64 KiB
STEP_BYTES = 1 << 16  # read at a time, so that what follows a part is never copied whole


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


_KINDS: tuple[tuple[bytes, Callable[[], _Decompressor]], ...] = (
    (b"\x1f\x8b", lambda: zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\0", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_XZ_MEMORY)),
)


def decompress(content: bytes) -> bytes:
    """Return what is compressed in `content`, or `content` itself if it is not compressed.

    Raises: RefusedError if that is too much or damaged; zlib.error, OSError, lzma.LZMAError, EOFError if it is damaged.
    """
    for magic, make in _KINDS:
        if content.startswith(magic):
            return b"".join(_pieces(content, magic, make))
    return content


def _pieces(content: bytes, magic: bytes, make: Callable[[], _Decompressor]) -> Iterator[bytes]:
    start = unpacked = 0
    for _ in range(MAX_PARTS):
        decompressor = make()
        while not decompressor.eof:
            step = content[start : start + STEP_BYTES]
            if not step:
                raise damaged()
            piece = decompressor.decompress(step, max_unpacked(len(content)) + 1 - unpacked)
            unpacked += len(piece)
            require_unpacked(unpacked, len(content))
            yield piece
            start += len(step) - len(decompressor.unused_data)
        if not content.startswith(magic, start):
            break
    if content[start:].strip(b"\0"):
        raise damaged()
