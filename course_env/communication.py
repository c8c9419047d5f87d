"""Communication programs as values: what one rank sends, receives and waits for, in order.

A program is a list of the operations below, one list per rank. Programs are data, so they can be checked without
starting a single process, and they travel between judge and rank like any other value.
"""

from dataclasses import dataclass

from course_env.value_types import value_type


@value_type
@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Send to rank `dst` and block until the receive that matches it has been posted."""

    dst: int
    tag: int = 0


@value_type
@dataclass(frozen=True, slots=True, kw_only=True)
class Recv:
    """Receive from rank `src` and block until the send that matches it has been posted."""

    src: int
    tag: int = 0


@value_type
@dataclass(frozen=True, slots=True, kw_only=True)
class ISend:
    """Post a send to rank `dst` and go on at once."""

    dst: int
    tag: int = 0


@value_type
@dataclass(frozen=True, slots=True, kw_only=True)
class IRecv:
    """Post a receive from rank `src` and go on at once."""

    src: int
    tag: int = 0


@value_type
@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Block until the ISend or IRecv at index `request` of the same program has met its match."""

    request: int


@value_type
@dataclass(frozen=True, slots=True, kw_only=True)
class Coll:
    """Call the collective `name` and block until every rank in `ranks` (ascending) calls the same one."""

    name: str
    ranks: tuple[int, ...]


Op = Send | Recv | ISend | IRecv | Wait | Coll


@value_type
@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlock:
    """The ranks that never finish, each with the index of the operation it is blocked in."""

    blocked: dict[int, int]
