"""Where a batch's jobs are sent, and how much each of them should hold."""

from dataclasses import dataclass

from grader.cluster.packing import JobLength
from slurm.executors import Executor
from slurm.profile import Profile

USED_OF_LIMIT = 0.7
"""Of a job's time limit, what is planned with: estimates are rough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where jobs are sent, by its name, and what is known of it."""

    name: str
    executor: Executor
    profile: Profile
    max_jobs: int
    spread: bool
    """Whether ranks run in all tasks of a job, for which the executor was made, or in the one that grades."""

    @property
    def judges(self) -> int:
        """How many judges a job has at a time: one for each CPU, but a job's ranks are one judge's if they are spread."""
        return 1 if self.spread else self.profile.cpus_per_task

    @property
    def job_length(self) -> JobLength:
        """How much a job should hold."""
        per_minute = 60.0 * self.judges
        return JobLength(
            worthwhile_s=self.profile.worthwhile_minutes * per_minute,
            longest_s=USED_OF_LIMIT * self.profile.minutes * per_minute,
        )
