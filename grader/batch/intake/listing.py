"""How a result lists what was handed in: the files that were graded, and everything that was left out."""

import msgspec


class _ListedStruct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of both lists' entries, which are part of a result file."""


class TakenFile(_ListedStruct, frozen=True):
    """A file that was graded."""

    file: str
    """Its name, one of the chapter's files."""

    bytes: int
    sha256: str


class LeftOut(_ListedStruct, frozen=True):
    """Something in the submission that was not graded."""

    path: str
    reason: str
