"""The watch over a batch's jobs. They are sent in rounds, each item until it has a verdict or has used up its chances."""

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence

import msgspec

from course_env.errors import ExecutorError
from grader.batch.batch import Batch
from grader.batch.grading import whole_result, write_files
from grader.batch.intake.find import Submission
from grader.batch.workers import Graded
from grader.cluster.desk import BatchPlan, Desk, Loss, Verdict
from grader.cluster.job import MAX_BEGUN
from grader.cluster.packing import Item, JobId, items_of
from grader.cluster.sender import Sender
from grader.cluster.sent_rounds import Gathering, NotedLosses, SentRounds, Statuses
from grader.cluster.site import Site
from slurm.executors import JobStatus, Phase

POLL_S = 1.0
GATHER_S = 10.0
"""How long an item that lost its job waits for others to be sent with, while other jobs run: a round costs the cluster."""

MAX_SENT = 5
"""How often one command sends an item, so that it does not go on for ever where jobs end before they begin with it."""


class BatchProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a batch is."""

    items: int
    done: int
    waiting: int
    """Jobs in the queue."""

    running: int
    """Jobs that have begun."""

    why: str = ""
    """What most of the waiting jobs wait for, as the cluster calls it."""

    trouble: str = ""
    """What is wrong with the queue at the moment."""


class UndecidedError(ExecutorError):
    """Items have used up their chances and have no verdict."""


class BatchWatch:
    """One command's watch over a batch."""

    def __init__(
        self,
        *,
        site: Site,
        desk: Desk,
        plan: BatchPlan,
        submissions: Sequence[Submission],
        batch: Batch,
        tell: Callable[[BatchProgress], None],
    ) -> None:
        self._site = site
        self._desk = desk
        self._plan = plan
        self._batch = batch
        self._tell = tell
        self._items = items_of(submissions, batch)
        self._unrecorded = list(submissions)
        self._verdicts: dict[Item, Verdict] = {}
        self._sent = SentRounds(desk.rounds(), settle_s=site.profile.settle_s)
        self._earlier_rounds = self._sent.num_rounds
        self._losses = NotedLosses(desk.losses())
        self._gathering = Gathering()
        self._sender = Sender(site, desk, plan, batch)
        self._times_sent: Counter[Item] = Counter()  # by this command
        self._refusals: dict[int, str] = {}  # by round: why the cluster did not take it

    def grade(self) -> Generator[Graded, None, None]:
        """Yield each submission as its result is recorded.

        Raises: UndecidedError if items have used up their chances; ExecutorError if jobs are not taken and none is left
            to wait for.
        """
        self._begin_anew()
        while self._unrecorded:
            self._collect()
            yield from self._record_what_is_done()
            if self._unrecorded:
                self._go_on()

    def _begin_anew(self) -> None:
        """Give back their chances to items that used them up: whoever repeats the command has fixed what was wrong."""
        self._desk.forgive([item for item in self._items if self._is_spent(item)])
        self._collect()
        for item, verdict in list(self._verdicts.items()):
            if verdict.result.judge not in {"ended", "not_run"}:
                self._desk.discard(item)
                self._desk.forgive([item])
                del self._verdicts[item]

    def _collect(self) -> None:
        """Read the verdicts that have come."""
        for item in self._items:
            if item not in self._verdicts and (verdict := self._desk.verdict(item, self._plan.token)) is not None:
                self._verdicts[item] = verdict

    def _record_what_is_done(self) -> Iterator[Graded]:
        for submission in list(self._unrecorded):
            items = items_of([submission], self._batch)
            if all(item in self._verdicts for item in items):
                graded = self._record(submission, [self._verdicts[item] for item in items])
                self._unrecorded.remove(submission)
                yield graded

    def _record(self, submission: Submission, verdicts: Sequence[Verdict]) -> Graded:
        chapters = tuple(verdict.result for verdict in verdicts)
        seconds = sum(verdict.seconds for verdict in verdicts)
        result = whole_result(submission, chapters, self._batch, seconds=seconds)
        write_files(result, submission, self._batch)
        return Graded(submission=submission, result=result, kept=False)

    def _go_on(self) -> None:
        """Send the items that have no job, or wait a little."""
        try:
            statuses = self._statuses()
        except ExecutorError as error:  # a controller that restarts; what jobs leave can be read meanwhile
            self._report({}, trouble=str(error))
            time.sleep(POLL_S)
            return
        self._report(statuses, trouble=next(reversed(self._refusals.values()), ""))
        self._sent.observe(statuses, time.monotonic())
        self._collect()  # what a job wrote before it was over is visible now
        busy = self._sent.busy() - self._verdicts.keys()
        idle = [item for item in self._items if item not in self._verdicts and item not in busy]
        self._note_losses(frozenset(idle), statuses)
        sendable = [item for item in idle if not self._is_spent(item)]
        if idle and not sendable and not busy:
            raise UndecidedError(self._undecided(idle))
        if sendable and (not busy or self._gathering.has_lasted(GATHER_S, time.monotonic())):
            self._send(sendable, others_run=bool(busy))
        else:
            time.sleep(POLL_S)

    def _statuses(self) -> Statuses:
        """Ask the queue about each round, except those whose items all have verdicts."""
        return {
            JobId(number, index): status
            for number in range(self._sent.num_rounds)
            if not self._sent.items_of(number) <= self._verdicts.keys()
            for index, status in self._site.executor.statuses(self._plan.jobs_of(number)).items()
        }

    def _is_spent(self, item: Item) -> bool:
        return self._times_sent[item] >= MAX_SENT or self._desk.times_begun(item) >= MAX_BEGUN

    def _note_losses(self, idle: frozenset[Item], statuses: Statuses) -> None:
        """Write down which items lost their job, and avoid the nodes where jobs failed at once."""
        new = self._losses.new(self._sent.packs, idle)
        if new:
            self._desk.add_losses([self._loss(item, job, statuses.get(job)) for job, item in new])
        for job in dict.fromkeys(job for job, _ in new):
            status = statuses.get(job)
            is_ours = job.round >= self._earlier_rounds  # what failed an earlier command has been fixed
            if is_ours and status is not None and self._has_failed_at_once(status, self._sent.packs[job]):
                self._sender.avoid(status.node)

    def _has_failed_at_once(self, status: JobStatus, items: Sequence[Item]) -> bool:
        """Return whether a job began with nothing: its node is soon free again, and may fail the next job as well."""
        return status.state.startswith("FAILED") and bool(status.node) and status.job not in self._desk.begun_by(items)

    def _loss(self, item: Item, job: JobId, status: JobStatus | None) -> Loss:
        known = status or JobStatus(job="?", phase=Phase.ENDED, state="not in the queue any more")
        reason = self._refusals.get(job.round) or self._desk.failure(job)
        return Loss(item=item, round=job.round, job=known.job, state=known.state, node=known.node, reason=reason)

    def _send(self, items: Sequence[Item], *, others_run: bool) -> None:
        """Send a round. If it is not taken, that is fatal only where no other jobs run that can be watched meanwhile."""
        number = self._sent.num_rounds
        packs = self._sender.write_down(number, items)
        self._sent.add(packs)
        self._times_sent.update(items)
        self._gathering.end()
        try:
            self._sender.submit(number, len(packs))
        except ExecutorError as error:
            if not others_run:
                raise ExecutorError(f"{error} What was graded is kept: type the same command with --resume.") from None
            self._refusals[number] = str(error)

    def _undecided(self, items: Sequence[Item]) -> str:
        """Return why these items have no verdict."""
        losses = self._desk.losses()
        lines = [f"{item}: " + "; ".join(str(loss) for loss in losses if loss.item == item) for item in items]
        return (
            f"{len(items)} of {len(self._items)} items have no result; the submissions are not known to be at fault:\n"
            + "\n".join(lines)
            + f"\nThe jobs' logs are in {self._batch.job_logs}. All other results are kept. Fix what is wrong, then type "
            "the same command with --resume."
        )

    def refusal(self, error: OSError) -> str:
        """Return what a person must know when this machine does not let the command write: a full disk, most likely."""
        items = items_of(self._unrecorded, self._batch)
        return (
            f"The machine refused: {error}. {len(items)} of {len(self._items)} items are not in a result file yet:\n"
            + "\n".join(map(str, items))
            + "\nJobs go on, and what they have graded is kept. Make room, or fix what else is wrong, then type the same "
            "command with --resume."
        )

    def _report(self, statuses: Statuses, *, trouble: str) -> None:
        phases = [status.phase for status in statuses.values()]
        progress = BatchProgress(
            items=len(self._items),
            done=len(self._verdicts),
            waiting=phases.count(Phase.WAITING),
            running=phases.count(Phase.RUNNING),
            why=commonest_reason(statuses),
            trouble=trouble,
        )
        self._tell(progress)


def commonest_reason(statuses: Statuses) -> str:
    """Return what most of the waiting jobs wait for, or "" if none waits."""
    states = Counter(status.state for status in statuses.values() if status.phase is Phase.WAITING)
    return states.most_common(1)[0][0] if states else ""
