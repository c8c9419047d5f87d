"""One value per rank: what a launch returns and what a comparison expects."""

from typing import TypeVar

T = TypeVar("T")


class PerRank(tuple[T, ...]):
    """One value per rank, in rank order; built from any iterable, so a tensor of shape (N, ...) gives N entries.

    It is not a plain tuple, because that is a value which every rank may return.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"PerRank({super().__repr__()})"
