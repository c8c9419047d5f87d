"""A launch in which every rank returned, as a test sees it."""

from dataclasses import dataclass
from typing import Any

from grader.harness.comm import CommLog
from grader.harness.per_rank import PerRank


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What all ranks returned, and what was seen of them.

    values: one dict per rank, as the rank program returned it
    comm: every communication the ranks issued
    log: what each rank printed, capped
    orphans: processes that ranks left behind when they ended
    max_rss_kb: peak resident memory of each rank, in KiB, the zygote's shared pages included
    """

    values: tuple[dict[str, Any], ...]
    comm: CommLog
    log: tuple[str, ...]
    orphans: int
    max_rss_kb: tuple[int, ...]

    def __getitem__(self, name: str) -> PerRank[Any]:
        """Return what each rank returned under `name`."""
        return PerRank(value[name] for value in self.values)
