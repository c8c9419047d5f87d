"""What a chapter asks for, and how a result lists what was handed in: the files that were graded, and what was left out."""

import msgspec


class _ListedStruct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all of these; they are part of result files, or are sent to the process that reads a hand-in."""


class Declared(_ListedStruct, frozen=True):
    """What a chapter declares of itself, as far as it matters for what is taken."""

    id: str
    """The folder's name, like `ch02_distributed_programming`."""

    files: tuple[str, ...]
    """The student's files."""

    @property
    def short(self) -> str:
        """The part of the id that people type, like `ch02`."""
        return self.id.partition("_")[0]


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
