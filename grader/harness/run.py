"""A launch in which every rank returned, as a test sees it."""

from dataclasses import dataclass, field
from typing import Any

from course_env.errors import CatalogError
from grader.harness.comm.log import CommLog
from grader.harness.per_rank import PerRank


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What all ranks returned, and what was seen of them.

    values: one dict per rank, as the rank program returned it
    comm: every communication the ranks issued
    log: what each rank printed, capped
    orphans: processes that ranks left behind when they ended
    max_rss_kb: peak resident memory of each rank, in KiB, the zygote's shared pages included
    anywhere: whether the launch may as well run on GPUs, where communication is not recorded
    """

    values: tuple[dict[str, Any], ...]
    comm: CommLog
    log: tuple[str, ...]
    orphans: int
    max_rss_kb: tuple[int, ...]
    anywhere: bool = False
    _looked_at: set[str] = field(default_factory=set, init=False, repr=False, compare=False)

    def __getattribute__(self, name: str) -> Any:
        if name == "comm" and object.__getattribute__(self, "anywhere"):
            raise CatalogError(
                "On GPUs nobody records what ranks communicate. Look at `comm` of a launch without `on`. Correct the test."
            )
        if name in {"values", "comm"}:
            object.__getattribute__(self, "_looked_at").add(name)
        return object.__getattribute__(self, name)

    @property
    def is_half_judged(self) -> bool:
        """Whether a test looked at what the ranks communicated, and not at what came of it.

        Ranks that only send what they should would pass it.
        """
        returned = any(object.__getattribute__(self, "values"))
        return returned and self._looked_at == {"comm"}

    def __getitem__(self, name: str) -> PerRank[Any]:
        """Return what each rank returned under `name`."""
        return PerRank(value[name] for value in self.values)
