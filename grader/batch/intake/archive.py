"""The tree in a zip or tar file, which is read into memory once, within limits, and never written to disk.

A fault in one entry refuses only that entry; a fault that makes the whole archive doubtful refuses the archive.
"""

import bz2
import copy
import io
import lzma
import re
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from typing import Protocol

from grader.batch.intake.tree import (
    LINK,
    MAX_ENTRIES,
    MAX_FILE_BYTES,
    NOT_REGULAR,
    Entry,
    File,
    Folder,
    Refused,
    RefusedError,
    read_file,
    too_large,
    too_many,
)

MAX_ARCHIVE_BYTES = 16 << 20
MAX_UNPACKED_BYTES = 64 << 20
MAX_RATIO = 200  # unpacked to packed, beyond the first MAX_FILE_BYTES; code has less than 10
MAX_TAR_HEADER_BYTES = 1 << 16
ZIP_HEADER_BYTES = 30  # before an entry's name and content
MAX_XZ_MEMORY = 128 << 20  # `xz -9` needs half of it
DEPTH = 4  # alice/assignments/chNN_name/file: nothing is taken from below

UNREADABLE = (".tar.zst", ".rar", ".7z")
SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")

AGAIN = "Make the archive again, with `zip -r` or `tar -czf`, and hand it in again."
TWICE = Refused(fault="is in the archive twice", remedy="Make the archive again with one of them.")
ENCRYPTED = Refused(fault="is encrypted", remedy="Hand it in without a password.")
ODD_METHOD = Refused(fault="is compressed in a way that is not read", remedy=AGAIN)

Member = tuple[str, File | Refused | None]
"""A path in an archive and what is there; None for a folder."""

Branch = dict[str, "Branch | File | Refused"]
"""A folder of the tree while it is built."""


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


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


_DECOMPRESSORS: tuple[tuple[bytes, Callable[[], _Decompressor]], ...] = (
    (b"\x1f\x8b", lambda: zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\0", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_XZ_MEMORY)),
)


def archive_stem(name: str) -> str:
    """Return an archive's name without its suffix, or "" if the name is not that of an archive."""
    for suffix in (*UNREADABLE, *SUFFIXES):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return ""


def archive_folder(path: Path) -> Folder:
    """Return the tree in an archive.

    Raises: RefusedError if the archive cannot be used.
    """
    name = path.name.lower()
    if name.endswith(UNREADABLE):
        raise RefusedError("is an archive of a kind that is not read", "Hand in a .zip or a .tar.gz file.")
    members = _zip_members if name.endswith(".zip") else _tar_members
    content = read_file(path, MAX_ARCHIVE_BYTES)
    tree: Branch = {}
    try:
        found = list(islice(members(content), MAX_ENTRIES + 1))
    except RefusedError:
        raise
    except Exception:  # noqa: BLE001 -- zipfile and tarfile raise a dozen kinds, none of which may end the batch
        raise _damaged() from None
    if len(found) > MAX_ENTRIES:
        raise too_many()
    for member_path, what in found:
        _plant(tree, member_path, what)
    return _folder(archive_stem(path.name), tree)


def _damaged() -> RefusedError:
    return RefusedError("is damaged, or no archive of the kind that its name says", AGAIN)


def _plant(tree: Branch, path: str, what: File | Refused | None) -> None:
    if fault := _fault_in_path(path):
        tree[path] = Refused(fault=fault, remedy=AGAIN)
        return
    parts = [part for part in path.split("/") if part not in {"", "."}]
    folders = parts[:DEPTH] if what is None else parts[:-1][:DEPTH]
    for part in folders:
        below = tree.setdefault(part, {})
        if not isinstance(below, dict):
            tree[part] = TWICE
            return
        tree = below
    if what is not None and 0 < len(parts) <= DEPTH:
        tree[parts[-1]] = TWICE if parts[-1] in tree else what


def _fault_in_path(path: str) -> str:
    if path.startswith("/") or re.match(r"[A-Za-z]:", path):
        return "has an absolute name"
    if "\\" in path:
        return "has a backslash in its name where folders are divided by /"
    if ".." in path.split("/"):
        return "has a name that leads out of the archive"
    if any(unicodedata.category(char) == "Cc" for char in path):
        return "has a control character in its name"
    return ""


def _folder(name: str, tree: Branch) -> Folder:
    def entries() -> dict[str, Entry]:
        return {below: _folder(below, what) if isinstance(what, dict) else what for below, what in tree.items()}

    return Folder(name=name, entries=entries)


def _require_unpacked(num_bytes: int, packed: int) -> None:
    """Raise RefusedError for an archive that unpacks to more than an honest one would."""
    if num_bytes > _max_unpacked(packed):
        fault = f"would unpack to more than {_max_unpacked(packed)} bytes"
        raise RefusedError(fault, "Remove what is not code and hand it in again.")


def _max_unpacked(packed: int) -> int:
    return min(MAX_UNPACKED_BYTES, max(MAX_FILE_BYTES, MAX_RATIO * packed))


def _zip_members(content: bytes) -> Iterator[Member]:
    # Every entry has this signature, so their count is an upper bound, known before ZipFile reads the first one.
    if content.count(b"PK\x01\x02") > MAX_ENTRIES:
        raise too_many()
    archive = zipfile.ZipFile(io.BytesIO(content))
    infos = sorted(archive.infolist(), key=lambda info: info.header_offset)
    _require_unpacked(sum(info.file_size for info in infos), len(content))
    for info, after in pairwise(infos):
        if info.header_offset + ZIP_HEADER_BYTES + info.compress_size > after.header_offset:
            raise RefusedError("has entries that overlap", AGAIN)
    for info in infos:
        # `filename` is cut at a NUL, by which two entries could get one name.
        yield info.orig_filename, _zip_entry(archive, info)


def _zip_entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> File | Refused | None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if stat.S_ISLNK(kind):
        return LINK
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        return NOT_REGULAR
    if info.orig_filename.endswith("/") or stat.S_ISDIR(kind):
        return None
    if info.flag_bits & 0x2041:  # by password, strongly, or with a masked header
        return ENCRYPTED
    # With other methods the archive decides how much memory is needed; no common tool uses them by default.
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        return ODD_METHOD
    return File(read=partial(_read_zip_entry, archive, info))


def _read_zip_entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if info.file_size > MAX_FILE_BYTES:
        raise too_large(info.file_size)
    untrusting = copy.copy(info)
    untrusting.file_size = 2 * MAX_FILE_BYTES  # so that all of it is read, whatever size the header claims
    try:
        with archive.open(untrusting) as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except Exception:  # noqa: BLE001 -- as above
        raise RefusedError("is damaged in the archive", AGAIN) from None
    if len(content) != info.file_size:
        fault = f"has {info.file_size} bytes by the archive's header, and {_count_up_to(content)} in truth"
        raise RefusedError(fault, AGAIN)
    return content


def _count_up_to(content: bytes) -> str:
    return f"more than {MAX_FILE_BYTES}" if len(content) > MAX_FILE_BYTES else str(len(content))


def _tar_members(content: bytes) -> Iterator[Member]:
    # In Python versions that are still used, tarfile follows negative sizes and nested headers without end.
    unpacked = _decompress(content)
    offset, name = 0, ""
    while (header := _tar_header(unpacked, offset)) is not None:
        start = offset + tarfile.BLOCKSIZE
        end = start + (0 if header.type in _WITHOUT_DATA else header.size)
        if not start <= end <= len(unpacked):
            raise _damaged()
        offset = end + -end % tarfile.BLOCKSIZE
        if header.type in _ABOUT_THE_NEXT:
            name = _next_name(header, unpacked[start:end]) or name
            continue
        yield name or header.name, _tar_entry(header, unpacked, start)
        name = ""


def _decompress(content: bytes) -> bytes:
    for magic, make in _DECOMPRESSORS:
        if content.startswith(magic):
            decompressor = make()
            unpacked = decompressor.decompress(content, _max_unpacked(len(content)) + 1)
            _require_unpacked(len(unpacked), len(content))
            if not decompressor.eof or decompressor.unused_data:
                raise _damaged()
            return unpacked
    return content


def _tar_header(unpacked: bytes, offset: int) -> tarfile.TarInfo | None:
    block = unpacked[offset : offset + tarfile.BLOCKSIZE]
    # The archive ends with a block of zeros or, with some tools, after its last entry.
    if (offset and not block) or block == bytes(tarfile.BLOCKSIZE):
        return None
    return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")


def _next_name(header: tarfile.TarInfo, data: bytes) -> str:
    """Return the name that an extended header gives to the next entry, or ""."""
    if len(data) > MAX_TAR_HEADER_BYTES:
        raise _damaged()
    if header.type == tarfile.GNUTYPE_LONGNAME:
        return data.partition(b"\0")[0].decode("utf-8", "surrogateescape")
    if header.type == tarfile.GNUTYPE_LONGLINK:
        return ""
    records = dict(_pax_records(data))
    is_for_all = header.type == tarfile.XGLTYPE
    if (
        b"size" in records
        or (is_for_all and b"path" in records)
        or any(key.startswith(b"GNU.sparse") for key in records)
    ):
        raise RefusedError("uses extensions of tar that are not read, as for sparse files", AGAIN)
    return records.get(b"path", b"").decode("utf-8", "surrogateescape")


def _pax_records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the key and value of each record: `<length> <key>=<value>` and a newline; the length counts all of it."""
    start = 0
    while start < len(data):
        digits = data[start : start + 8].partition(b" ")[0]
        end = start + int(digits)
        if not digits.isdigit() or not start + len(digits) < end <= len(data):
            raise _damaged()
        key, _, value = data[start + len(digits) + 1 : end].removesuffix(b"\n").partition(b"=")
        yield key, value
        start = end


def _tar_entry(header: tarfile.TarInfo, unpacked: bytes, start: int) -> File | Refused | None:
    if header.type == tarfile.DIRTYPE:
        return None
    if header.type in {tarfile.LNKTYPE, tarfile.SYMTYPE}:
        return LINK
    if header.type == tarfile.GNUTYPE_SPARSE:
        # Its size is counted in another way, so the next entry cannot be found.
        raise RefusedError("holds a sparse file", "Make the archive again, without --sparse, and hand it in again.")
    if header.type not in {tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE}:
        return NOT_REGULAR
    return File(read=partial(_read_tar_entry, unpacked, start, header.size))


def _read_tar_entry(unpacked: bytes, start: int, size: int) -> bytes:
    if size > MAX_FILE_BYTES:
        raise too_large(size)
    return unpacked[start : start + size]
