"""Where a batch's jobs are sent, and how much each of them should hold."""

from dataclasses import dataclass

from grader.cluster.packing import JobLength
from slurm.executors import Executor
from slurm.profile import Profile

USED_OF_LIMIT = 0.7
"""The part of a job's time limit that packs are planned for, because estimates are rough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where jobs are sent, and what is known of it."""

    name: str
    """As `--on` names it: a profile, or this machine."""

    executor: Executor
    profile: Profile
    max_jobs: int
    """How many may run at a time."""

    spread: bool
    """Whether ranks run in all tasks of a job, or only in the task that grades; the executor was made for one of the two."""

    @property
    def judges_per_job(self) -> int:
        """How many judges a job runs at a time: one for each CPU, or one if ranks are spread, because it uses all tasks."""
        return 1 if self.spread else self.profile.cpus_per_task

    @property
    def job_length(self) -> JobLength:
        """How much a job should hold."""
        per_minute = 60.0 * self.judges_per_job
        return JobLength(
            worthwhile_s=self.profile.worthwhile_minutes * per_minute,
            longest_s=USED_OF_LIMIT * self.profile.minutes * per_minute,
        )
