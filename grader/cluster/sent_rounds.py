"""What was sent of a batch, and what follows from it. Nothing here asks a queue, reads a file or looks at a clock."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from grader.cluster.desk import Loss
from grader.cluster.packing import Item, JobId, Pack
from slurm.executors import JobStatus, Phase

Statuses = Mapping[JobId, JobStatus]
"""What the queue says of jobs; one that is missing has ended, and is forgotten there."""


class SentRounds:
    """The rounds of jobs that were sent, and which of these jobs are over.

    A job is over when it ended so long ago that what it wrote must be visible by now.
    """

    def __init__(self, rounds: Iterable[Sequence[Pack]], *, settle_s: float) -> None:
        self._packs: dict[JobId, Pack] = {}
        self._num_rounds = 0
        self._settle_s = settle_s
        self._ended_at: dict[JobId, float] = {}
        self._over: set[JobId] = set()
        for packs in rounds:
            self.add(packs)

    @property
    def num_rounds(self) -> int:
        """How many rounds there are: also the number of the next one."""
        return self._num_rounds

    @property
    def packs(self) -> Mapping[JobId, Pack]:
        """What each job was to grade, in the order in which jobs were sent."""
        return self._packs

    def add(self, packs: Sequence[Pack]) -> None:
        """Add a round, of a job for each pack."""
        self._packs |= {JobId(self._num_rounds, index): pack for index, pack in enumerate(packs)}
        self._num_rounds += 1

    def items_of(self, round_number: int) -> set[Item]:
        """Return what was sent in a round."""
        return {item for job, pack in self._packs.items() if job.round == round_number for item in pack}

    def observe(self, statuses: Statuses, now: float) -> None:
        """Take note of what the queue says. `now`: seconds of a clock that never goes back."""
        for job in self._packs:
            status = statuses.get(job)
            if status is None or status.phase is Phase.ENDED:
                self._ended_at.setdefault(job, now)
            else:
                self._ended_at.pop(job, None)  # it may have been requeued
        self._over = {job for job, ended_at in self._ended_at.items() if now - ended_at >= self._settle_s}

    def busy(self) -> set[Item]:
        """Return the items of all jobs that were not over when the queue was last observed."""
        return {item for job, pack in self._packs.items() if job not in self._over for item in pack}


class NotedLosses:
    """Which items are known to have lost which job, so that each loss is written down once."""

    def __init__(self, losses: Iterable[Loss]) -> None:
        self._noted = {(loss.round, loss.item) for loss in losses}

    def new(self, packs: Mapping[JobId, Pack], idle: Collection[Item]) -> list[tuple[JobId, Item]]:
        """Return the losses that were not returned before. idle: items that have neither a verdict nor a job."""
        lost = [(job, item) for job, pack in packs.items() for item in pack if item in idle]
        new = [(job, item) for job, item in lost if (job.round, item) not in self._noted]
        self._noted |= {(job.round, item) for job, item in new}
        return new


class Gathering:
    """How long items that could be sent have waited for others to be sent with them."""

    def __init__(self) -> None:
        self._since: float | None = None

    def has_lasted(self, seconds: float, now: float) -> bool:
        """Return whether items have waited this long; the first call starts the wait."""
        if self._since is None:
            self._since = now
        return now - self._since >= seconds

    def end(self) -> None:
        """Forget the wait: a round was sent."""
        self._since = None
