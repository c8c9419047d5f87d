"""How the name of a submission becomes the name of its files, and back.

A student's name is whatever a file system can hold. The files that are named after it must work on every file system,
in a shell, and beside each other. So letters, digits and a few signs stay, and every other character becomes the bytes
of its UTF-8 as in a URL: `O'Neil` is `O%27Neil`. `urllib.parse.unquote` and `student_name` give the name back.
"""

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

MAX_BYTES = 200  # leaves room for what is appended in a file system that allows 255
CUT = "~"
"""Stands before the digest of a name that was too long; it stands nowhere else, because it is always written as %7E."""

DIGEST_LETTERS = 24
SIGNS = frozenset("_ .@+,=-")
INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)  # names of devices on Windows


def file_names(names: Iterable[str]) -> dict[str, str]:
    """Return the file name of each of a batch's names; no two of them are one file, on any file system.

    Names that differ only by case keep only small letters, because there are file systems on which they would be one.
    """
    plain = {name: _file_name(name) for name in names}
    alike = Counter(file_name.casefold() for file_name in plain.values())
    return {
        name: _file_name(name, small=True) if alike[file_name.casefold()] > 1 else file_name
        for name, file_name in plain.items()
    }


def student_name(file_name: str) -> str:
    """Return the name that has this file name; of a name that was too long, only its beginning."""
    return os.fsdecode(unquote_to_bytes(file_name.partition(CUT)[0]))


def readable(name: str) -> str:
    r"""Return a name as text: bytes that are not UTF-8 are written as \xff."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _file_name(name: str, *, small: bool = False) -> str:
    # A name in another Unicode form than NFC looks the same, and some file systems take it for the same.
    only_ascii = small or not unicodedata.is_normalized("NFC", name)
    pieces = [char if _stays(char, only_ascii=only_ascii, small=small) else _escaped(char) for char in name]
    if pieces and (RESERVED.match(name) or not (name[0].isalnum() or name[0] == "_")):
        pieces[0] = _escaped(name[0])
    file_name = "".join(pieces)
    if len(file_name.encode()) <= MAX_BYTES:
        return file_name
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:DIGEST_LETTERS]
    return _beginning(pieces, MAX_BYTES - len(CUT) - len(digest)) + CUT + digest


def _stays(char: str, *, only_ascii: bool, small: bool) -> bool:
    if char.isascii():
        return char in SIGNS or (char.isalnum() and not (small and char.isupper()))
    return not only_ascii and unicodedata.category(char)[0] in "LMN" and not INVISIBLE.match(char)


def _escaped(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogateescape"))


def _beginning(pieces: Iterable[str], max_bytes: int) -> str:
    beginning = ""
    for piece in pieces:
        if len((beginning + piece).encode()) > max_bytes:
            break
        beginning += piece
    return beginning
