"""A launch in which every rank returned, as a test sees it."""

from dataclasses import dataclass, field
from typing import Any

from course_env.errors import CatalogError
from grader.harness.comm.log import CommLog
from grader.harness.per_rank import PerRank


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Run:
    """What all ranks returned, and what was seen of them."""

    _values: tuple[dict[str, Any], ...]
    _comm: CommLog
    log: tuple[str, ...]
    """What each rank printed, cut if it is long."""

    orphans: int
    """The number of processes that ranks left behind when they ended."""

    max_rss_kb: tuple[int, ...]
    """Peak resident memory of each rank in KiB, including the pages that it shares with the zygote."""

    _observed: tuple[dict[str, Any], ...] = ()
    anywhere: bool = False
    """Whether the launch may also run on GPUs, where communication is not recorded."""

    _looked_at: set[str] = field(default_factory=set, init=False, compare=False)

    def __repr__(self) -> str:
        # pytest prints it under an assertion on one of its parts, and all values would be a page of numbers there.
        return f"<Run of {len(self._values)} ranks>"

    @property
    def values(self) -> tuple[dict[str, Any], ...]:
        """One dict per rank, as the rank program returned it, without its "observed"."""
        self._looked_at.add("values")
        return self._values

    @property
    def comm(self) -> CommLog:
        """Every communication that the ranks issued.

        Raises: CatalogError if the launch may also run on GPUs.
        """
        if self.anywhere:
            raise CatalogError(
                "On GPUs nobody records what ranks communicate. Look at `comm` of a launch without `on`. Correct the test."
            )
        self._looked_at.add("comm")
        return self._comm

    def observed(self, name: str) -> PerRank[Any]:
        """Return what each rank's program saw of the student's code: the entry `name` of what it returned as "observed".

        The program saw it in the process of that code, which can forge it. So it explains a mistake, and only what a value,
        the kernel's count or the memory shows as well is safe: `grade check` says which mutants nothing else catches.
        """
        self._looked_at.add("observed")
        return PerRank(observed.get(name) for observed in self._observed)

    @property
    def rests_on_ranks(self) -> bool:
        """Whether a test looked at something that the ranks themselves say, and that code in them can forge."""
        return not self._looked_at <= {"values"}

    @property
    def is_half_judged(self) -> bool:
        """Whether a test looked at what the ranks say of themselves, and not at what came of it.

        Ranks that only send what they should would pass such a test.
        """
        return any(self._values) and "values" not in self._looked_at and bool(self._looked_at)

    def __getitem__(self, name: str) -> PerRank[Any]:
        """Return what each rank returned under `name`."""
        return PerRank(value[name] for value in self.values)
