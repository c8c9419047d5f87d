"""The entries of a zip file in which no two programs can see two different contents.

A zip file names its entries twice: in a list at its end, and before each entry. Programs differ in which of the two they
believe, where they look for the list, and what they do with the rest. The zipfile module accepts all that it can make
sense of. Here list, entries and ends must agree, and between them lies nothing that another program could take for a
part of an archive.
"""

import re
import stat
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple
from zipfile import ZIP_DEFLATED, ZIP_STORED

from grader.batch.intake.bounds import (
    AGAIN,
    MAX_HEADER_BYTES,
    Member,
    damaged,
    require_unpacked,
    too_much_header,
    two_in_one,
)
from grader.batch.intake.tree import LINK, MAX_ENTRIES, NOT_REGULAR, File, Refused, RefusedError, too_large, too_many

ENCRYPTED = Refused(fault="is encrypted", remedy="Hand it in without a password.")
ODD_METHOD = Refused(fault="is compressed in a way that is not read", remedy=AGAIN)
DAMAGED_ENTRY = Refused(fault="is damaged in the archive", remedy=AGAIN)

END = b"PK\x05\x06"
LOCATOR64 = b"PK\x06\x07"
END64 = b"PK\x06\x06"
LISTED = b"PK\x01\x02"
LOCAL = b"PK\x03\x04"
PARTS = re.compile(b"|".join(map(re.escape, (END, LOCATOR64, END64, LISTED, LOCAL))))

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")
_LISTED = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")

FULL16, FULL32 = 0xFFFF, 0xFFFFFFFF  # stand for a number that is found in an extra field
ZIP64_FIELD = 1
BY_PASSWORD, SIZE_FOLLOWS, UTF8 = 0x1, 0x8, 0x800  # flags
ANY_ENCRYPTION = 0x2041  # by password, strongly, or with a masked header
DOS_SYSTEMS = {0, 10, 11}  # whose tools divide folders by backslashes, if they are old or PowerShell's


class _Directory(NamedTuple):
    """Where in a zip file the list of its entries lies."""

    start: int
    end: int
    entries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listed:
    """An entry as the list describes it."""

    raw_name: bytes
    system: int
    flags: int
    method: int
    checksum: int
    packed: int
    size: int
    mode: int
    offset: int
    """Of the header before it."""

    @property
    def name(self) -> str:
        """The name, with folders divided by slashes."""
        try:
            name = self.raw_name.decode()
        except UnicodeDecodeError:
            is_utf8 = self.flags & UTF8
            name = self.raw_name.decode("utf-8" if is_utf8 else "cp437", "surrogateescape")
        return name.replace("\\", "/") if self.system in DOS_SYSTEMS and "/" not in name else name


class _Data(NamedTuple):
    """Where an entry's content lies, by the header before it."""

    start: int
    agrees: bool
    """Whether that header says the same as the list."""


def zip_members(content: bytes) -> Iterator[Member]:
    """Yield the entries of a zip file.

    Raises: RefusedError, and struct.error for a damaged file.
    """
    directory = _directory(content)
    entries = sorted(_listed(content, directory), key=lambda entry: entry.offset)
    require_unpacked(sum(entry.size for entry in entries), len(content))
    places = [_place(content, entry, directory) for entry in entries]
    _require_nothing_between(content, entries, places, directory)
    for entry, place in zip(entries, places, strict=True):
        yield entry.name, _entry(content, entry, place)


def _directory(content: bytes) -> _Directory:
    at = content.rfind(END)
    if at < 0:
        raise damaged()
    _, disk, first_disk, _, entries, size, start, comment = _END.unpack_from(content, at)
    after = at + _END.size + comment
    if after > len(content) or content[after:].strip(b"\0"):
        raise damaged()
    if disk or first_disk:
        raise RefusedError("is one part of an archive in several files", AGAIN)
    end = at
    if content[max(0, at - _LOCATOR64.size) : at].startswith(LOCATOR64):
        end, wide = _end64(content, at - _LOCATOR64.size)
        narrow = zip((entries, size, start), wide, (FULL16, FULL32, FULL32), strict=True)
        if any(value not in {true, full} for value, true, full in narrow):
            raise two_in_one("in its two end records")
        entries, size, start = wide
    if start + size != end or content.find(END, start) != at:
        raise two_in_one("around its end record")
    if entries > MAX_ENTRIES:
        raise too_many()
    if size > MAX_HEADER_BYTES:
        raise too_much_header()
    return _Directory(start=start, end=end, entries=entries)


def _end64(content: bytes, locator: int) -> tuple[int, tuple[int, int, int]]:
    """Return where the large end record starts, and by it the number of entries, and size and start of their list."""
    at = _LOCATOR64.unpack_from(content, locator)[2]
    if not content.startswith(END64, at) or at > locator:
        raise damaged()
    _, rest, *_, entries, size, start = _END64.unpack_from(content, at)
    if at + 12 + rest != locator:  # 12: the record's size does not count its first two fields
        raise two_in_one("in its two end records")
    return at, (entries, size, start)


def _listed(content: bytes, directory: _Directory) -> list[_Listed]:
    entries, at = [], directory.start
    for _ in range(directory.entries):
        if not content.startswith(LISTED, at, directory.end):
            raise damaged()
        _, made_by, _, flags, method, _, _, checksum, packed, size, *lengths, _, _, attributes, offset = (
            _LISTED.unpack_from(content, at)
        )
        name_end = at + _LISTED.size + lengths[0]
        extra_end = name_end + lengths[1]
        wide = _wide(content[name_end:extra_end], (size, packed, offset))
        entry = _Listed(
            raw_name=content[at + _LISTED.size : name_end],
            system=made_by >> 8,
            flags=flags,
            method=method,
            checksum=checksum,
            size=wide[0],
            packed=wide[1],
            mode=stat.S_IFMT(attributes >> 16),
            offset=wide[2],
        )
        entries.append(entry)
        at = extra_end + lengths[2]
    if at != directory.end:
        raise two_in_one("in its list of entries")
    return entries


def _wide(extra: bytes, values: tuple[int, int, int]) -> list[int]:
    """Return the values, those that are FULL32 replaced by what the extra field for large files says, in this order."""
    if FULL32 not in values:
        return list(values)
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == ZIP64_FIELD:
            numbers = iter(struct.unpack_from(f"<{length // 8}Q", extra, at + 4))
            return [next(numbers, value) if value == FULL32 else value for value in values]
        at += 4 + length
    return list(values)


def _place(content: bytes, entry: _Listed, directory: _Directory) -> _Data:
    if not content.startswith(LOCAL, entry.offset, directory.start):
        return _Data(start=entry.offset + _LOCAL.size, agrees=False)
    _, _, flags, method, _, _, _, packed, _, name, extra = _LOCAL.unpack_from(content, entry.offset)
    name_start = entry.offset + _LOCAL.size
    agrees = (
        content[name_start : name_start + name] == entry.raw_name
        and method == entry.method
        and (flags ^ entry.flags) & BY_PASSWORD == 0
        and (packed in {entry.packed, FULL32} or bool(flags & SIZE_FOLLOWS))
    )
    return _Data(start=name_start + name + extra, agrees=agrees)


def _require_nothing_between(
    content: bytes, entries: Sequence[_Listed], places: Sequence[_Data], directory: _Directory
) -> None:
    """Raise RefusedError if entries share bytes, or something before or between them could be a part of an archive.

    Sizes and checksums that follow an entry may lie there, and padding.
    """
    ends = [place.start + entry.packed for entry, place in zip(entries, places, strict=True)]
    starts = [*(entry.offset for entry in entries), directory.start]
    if starts[0] != 0:
        raise two_in_one("before its first entry")
    for end, next_start in zip(ends, starts[1:], strict=True):
        if end > next_start:
            raise RefusedError("has entries that overlap", AGAIN)
        if PARTS.search(content, end, next_start):
            raise two_in_one("between its entries")


def _entry(content: bytes, entry: _Listed, place: _Data) -> File | Refused | None:
    if stat.S_ISLNK(entry.mode):
        return LINK
    if entry.mode not in {0, stat.S_IFREG, stat.S_IFDIR}:
        return NOT_REGULAR
    if entry.name.endswith("/") or stat.S_ISDIR(entry.mode):
        return None
    if entry.flags & ANY_ENCRYPTION:
        return ENCRYPTED
    # With other methods the archive decides how much memory is needed; no common tool uses them by default.
    if entry.method not in {ZIP_STORED, ZIP_DEFLATED}:
        return ODD_METHOD
    return File(read=partial(_read, content, entry, place.start)) if place.agrees else DAMAGED_ENTRY


def _read(content: bytes, entry: _Listed, start: int, limit: int) -> bytes:
    if entry.size > limit:
        raise too_large(entry.size, limit)
    packed = content[start : start + entry.packed]
    try:
        whole, is_complete = _inflate(packed, limit) if entry.method == ZIP_DEFLATED else (packed[: limit + 1], True)
    except zlib.error:
        raise RefusedError(DAMAGED_ENTRY.fault, DAMAGED_ENTRY.remedy) from None
    if is_complete and len(whole) != entry.size:
        truth = f"more than {limit}" if len(whole) > limit else str(len(whole))
        raise RefusedError(f"has {entry.size} bytes by the archive's header, and {truth} in truth", AGAIN)
    if not is_complete or zlib.crc32(whole) != entry.checksum:
        raise RefusedError(DAMAGED_ENTRY.fault, DAMAGED_ENTRY.remedy)
    return whole


def _inflate(packed: bytes, limit: int) -> tuple[bytes, bool]:
    """Return at most one byte more than the limit, and whether these are all, or too many."""
    decompressor = zlib.decompressobj(-zlib.MAX_WBITS)
    whole = decompressor.decompress(packed, limit + 1)
    return whole, len(whole) > limit or (decompressor.eof and not decompressor.unused_data)
