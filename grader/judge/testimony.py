"""What ranks say of themselves in each launch: their record of what they communicated, and what their programs observed.

`grade check` keeps what the solution's ranks say, and hands it in for a mutant's: as code would that forges all of it. What
catches the mutant then are its values, and what the kernel and the judge see.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from course_env.errors import CatalogError
from grader.harness.launch.remains import Remains
from grader.harness.run import Run
from grader.harness.verdict import verdict_on


class Testimony(msgspec.Struct, frozen=True):
    """What the ranks of one launch say."""

    journals: tuple[bytes, ...]
    observed: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Testimonies:
    """The testimonies of one run of the judge: by test, in the order of the test's launches."""

    said: Mapping[str, Sequence[Testimony]] | None = None
    """What ranks are made to say; None: they say what they say."""

    _heard: defaultdict[str, list[Testimony]] = field(default_factory=lambda: defaultdict(list))

    @property
    def are_forged(self) -> bool:
        """Whether ranks are made to say what other ranks said."""
        return self.said is not None

    def verdict_on(self, remains: Remains, test: str, launch: int) -> Run:
        """Return the verdict on the launch number `launch` of a test, by what its ranks say or are made to say.

        Raises: StudentFailure.
        """
        launches = (self.said or {}).get(test, ())
        if launch < len(launches) and len(launches[launch].journals) == len(remains.ranks):
            said = launches[launch]
            ranks = [replace(rank, journal=journal) for rank, journal in zip(remains.ranks, said.journals, strict=True)]
            return replace(verdict_on(replace(remains, ranks=tuple(ranks))), _observed=said.observed)
        run = verdict_on(remains)
        journals = tuple(rank.journal for rank in remains.ranks)
        self._heard[test].append(Testimony(journals, run._observed))  # noqa: SLF001 - to look at it by name is what a test does
        return run

    def write(self, path: Path) -> None:
        """Write what ranks said.

        Raises: CatalogError if something that they observed is no plain value.
        """
        try:
            path.write_bytes(msgspec.msgpack.encode(self._heard))
        except TypeError as error:
            raise CatalogError(f"What a program observes must be numbers, texts and lists of them. {error}.") from error


def read_testimonies(path: Path) -> Testimonies:
    """Return the testimonies in a file that `write` has made, to be said again."""
    return Testimonies(msgspec.msgpack.decode(path.read_bytes(), type=dict[str, list[Testimony]]))
