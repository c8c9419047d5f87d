"""What a check of the course found wrong: where, what, and what to do about it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One fault of the course, for its author."""

    where: str
    """File, relative to the course's root, with `:line` where there is one."""

    what: str
    """The fault; the sentence goes on from `where`."""

    todo: str
    """What to do about it; empty if `what` says so."""

    def __str__(self) -> str:
        """Return the one line that a command prints."""
        return f"{self.where}: {self.what} {self.todo}".rstrip()
