"""The entries of a tar file, compressed or not.

The tarfile module reads single headers here, and does not walk from one to the next: in versions that are still used it
follows negative sizes and nested headers without end.
"""

import tarfile
from collections.abc import Iterator
from functools import partial

from grader.batch.intake.bounds import AGAIN, MAX_HEADER_BYTES, Member, damaged, too_much_header, two_in_one
from grader.batch.intake.decompress import decompress
from grader.batch.intake.tree import LINK, NOT_REGULAR, File, Refused, RefusedError, too_large

MAX_EXTENDED_BYTES = 1 << 16  # of one extended header
MAX_EXTENDED = 3  # extended headers before an entry; tools write up to two
MAX_RECORDS = 100_000  # in all extended headers together; tools write about four for each entry

_WITHOUT_DATA = {
    tarfile.DIRTYPE,
    tarfile.LNKTYPE,
    tarfile.SYMTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
    tarfile.FIFOTYPE,
}
_ABOUT_THE_NEXT = {
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
}


def tar_members(content: bytes) -> Iterator[Member]:
    """Yield the entries of a tar file.

    Raises: RefusedError, and whatever tarfile and the decompressors raise for a damaged file.
    """
    unpacked = decompress(content)
    extensions = _Extensions()
    offset = 0
    while (header := _header(unpacked, offset)) is not None:
        start = offset + tarfile.BLOCKSIZE
        end = start + (0 if header.type in _WITHOUT_DATA else header.size)
        if not start <= end <= len(unpacked):
            raise damaged()
        offset = end + -end % tarfile.BLOCKSIZE
        if header.type in _ABOUT_THE_NEXT:
            extensions.add(header, unpacked[start : min(end, start + MAX_EXTENDED_BYTES + 1)])
        else:
            yield extensions.take_name() or header.name, _entry(header, unpacked, start)
    if unpacked[offset:].strip(b"\0"):
        raise two_in_one("after its end")


def _header(unpacked: bytes, offset: int) -> tarfile.TarInfo | None:
    block = unpacked[offset : offset + tarfile.BLOCKSIZE]
    # The archive ends with a block of zeros or, with some tools, after its last entry.
    if (offset and not block) or block == bytes(tarfile.BLOCKSIZE):
        return None
    return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")


class _Extensions:
    """What extended headers say about the next entry, within bounds: reading them must not take longer than reading entries."""

    def __init__(self) -> None:
        self._name = ""
        self._in_a_row = 0
        self._bytes = 0
        self._records = 0

    def take_name(self) -> str:
        """Return the name that the headers gave to the entry that follows them, or ""."""
        name, self._name, self._in_a_row = self._name, "", 0
        return name

    def add(self, header: tarfile.TarInfo, data: bytes) -> None:
        """Read one extended header."""
        self._in_a_row += 1
        self._bytes += len(data)
        if self._in_a_row > MAX_EXTENDED:
            raise RefusedError(f"has more than {MAX_EXTENDED} extended headers before an entry", AGAIN)
        if len(data) > MAX_EXTENDED_BYTES:
            raise damaged()
        if self._bytes > MAX_HEADER_BYTES:
            raise too_much_header()
        self._name = self._next_name(header, data) or self._name

    def _next_name(self, header: tarfile.TarInfo, data: bytes) -> str:
        if header.type == tarfile.GNUTYPE_LONGNAME:
            return data.partition(b"\0")[0].decode("utf-8", "surrogateescape")
        if header.type == tarfile.GNUTYPE_LONGLINK:
            return ""
        records = dict(self._pax_records(data))
        is_for_all = header.type == tarfile.XGLTYPE
        if (
            b"size" in records
            or (is_for_all and b"path" in records)
            or any(key.startswith(b"GNU.sparse") for key in records)
        ):
            raise RefusedError("uses extensions of tar that are not read, as for sparse files", AGAIN)
        return records.get(b"path", b"").decode("utf-8", "surrogateescape")

    def _pax_records(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the key and value of each record: `<length> <key>=<value>` and a newline; the length counts all of it."""
        start = 0
        while start < len(data):
            self._records += 1
            if self._records > MAX_RECORDS:
                raise RefusedError(f"has more than {MAX_RECORDS} records in its extended headers", AGAIN)
            digits = data[start : start + 8].partition(b" ")[0]
            end = start + int(digits)
            if not digits.isdigit() or not start + len(digits) < end <= len(data):
                raise damaged()
            key, _, value = data[start + len(digits) + 1 : end].removesuffix(b"\n").partition(b"=")
            yield key, value
            start = end


def _entry(header: tarfile.TarInfo, unpacked: bytes, start: int) -> File | Refused | None:
    if header.type == tarfile.DIRTYPE:
        return None
    if header.type in {tarfile.LNKTYPE, tarfile.SYMTYPE}:
        return LINK
    if header.type == tarfile.GNUTYPE_SPARSE:
        # Its size is counted in another way, so the next entry cannot be found.
        raise RefusedError("holds a sparse file", "Make the archive again, without --sparse, and hand it in again.")
    if header.type not in {tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE}:
        return NOT_REGULAR
    return File(read=partial(_read, unpacked, start, header.size))


def _read(unpacked: bytes, start: int, size: int, limit: int) -> bytes:
    if size > limit:
        raise too_large(size, limit)
    return unpacked[start : start + size]
