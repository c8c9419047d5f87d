"""The watch over a batch's jobs: they are sent in rounds, each item until it has a verdict or has had its chances."""

import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial

import msgspec

from course_env.errors import ExecutorError
from grader.batch.batch import Batch
from grader.batch.grading import whole_result, write_files
from grader.batch.intake.find import Submission
from grader.batch.workers import Graded
from grader.cluster.desk import BatchPlan, Desk, Loss, Verdict
from grader.cluster.job import MAX_BEGUN, run_pack
from grader.cluster.packing import Item, estimates, items_of, pack
from grader.cluster.site import Site
from grader.harness.protocol.files import make_key
from slurm.executors import Phase, Status

POLL_S = 1.0
GATHER_S = 10.0
"""How long what has lost its job waits for more of its kind while other jobs run: a round is a request to the cluster."""

MAX_SENT = 5
"""How often one command sends an item: one whose jobs end before they begin with it is not sent for ever."""


class BatchProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a batch is.

    why: what most of the waiting jobs wait for, as the place calls it
    trouble: what is wrong with the queue at the moment
    """

    items: int
    done: int
    waiting: int
    running: int
    why: str = ""
    trouble: str = ""


class UndecidedError(ExecutorError):
    """Items are left over that had their chances."""


@dataclass(kw_only=True)
class Watch:
    """One command's watch over a batch."""

    site: Site
    desk: Desk
    plan: BatchPlan
    submissions: Sequence[Submission]
    batch: Batch
    tell: Callable[[BatchProgress], None]

    def __post_init__(self) -> None:
        self._items = items_of(self.submissions, self.batch)
        self._mine = frozenset(self._items)
        self._verdicts: dict[Item, Verdict] = {}
        self._rounds = self.desk.rounds()
        self._first_round = len(self._rounds)  # that this command sends
        self._times_sent: Counter[Item] = Counter()  # by this command
        self._refused: dict[int, str] = {}  # by round: why the place did not take it
        self._ended_at: dict[tuple[int, int], float] = {}
        self._due_since: float | None = None
        self._avoided: set[str] = set()
        self._lost = {(loss.round, loss.item) for loss in self.desk.losses()}
        self._waiting = list(self.submissions)

    def grade(self) -> Generator[Graded, None, None]:
        """Yield each submission as its result is recorded."""
        self._begin_anew()
        while self._waiting:
            self._collect()
            for submission in [one for one in self._waiting if self._is_done(one)]:
                graded = self._record(submission)
                self._waiting.remove(submission)
                yield graded
            if self._waiting:
                self._go_on()

    def _begin_anew(self) -> None:
        """Give new chances to what had used them up: whoever types the command again has mended what was wrong."""
        self.desk.forgive([item for item in self._items if self._is_spent(item)])
        self._collect()
        for item, verdict in list(self._verdicts.items()):
            if verdict.result.judge not in {"ended", "not_run"}:
                self.desk.discard(item)
                self.desk.forgive([item])
                del self._verdicts[item]

    def _collect(self) -> None:
        for item in self._items:
            if item not in self._verdicts and (verdict := self.desk.verdict(item, self.plan.token)) is not None:
                self._verdicts[item] = verdict

    def _is_done(self, submission: Submission) -> bool:
        return all(item in self._verdicts for item in items_of([submission], self.batch))

    def _record(self, submission: Submission) -> Graded:
        verdicts = [self._verdicts[item] for item in items_of([submission], self.batch)]
        chapters = tuple(verdict.result for verdict in verdicts)
        seconds = sum(verdict.seconds for verdict in verdicts)
        result = whole_result(submission, chapters, self.batch, seconds=seconds)
        write_files(result, submission, self.batch)
        return Graded(submission=submission, result=result, kept=False)

    def _go_on(self) -> None:
        """Send what has no job, or wait a little."""
        try:
            statuses = [self._statuses(number) for number in range(len(self._rounds))]
        except ExecutorError as error:  # a controller that restarts; what jobs leave can be read meanwhile
            self._report([], str(error))
            time.sleep(POLL_S)
            return
        self._report(statuses, next(reversed(self._refused.values()), ""))
        over = {
            (number, place)
            for number, packs in enumerate(self._rounds)
            for place in range(len(packs))
            if self._is_over(number, place, statuses[number].get(place))
        }
        busy = {item for number, place, item in self._sent() if (number, place) not in over}
        self._collect()
        busy -= self._verdicts.keys()
        self._note_losses(busy, statuses)
        due = [item for item in self._items if item not in self._verdicts and item not in busy]
        sendable = [item for item in due if not self._is_spent(item)]
        if due and not sendable and not busy:
            raise UndecidedError(self._told(due))
        if sendable and (not busy or self._have_gathered()):
            self._send(sendable, lonely=not busy)
        else:
            time.sleep(POLL_S)

    def _statuses(self, number: int) -> dict[int, Status]:
        """Return what is known of a round's jobs; of one that has nothing left to do, nobody need be asked."""
        if all(item in self._verdicts for pack in self._rounds[number] for item in pack):
            return {}
        return self.site.executor.statuses(self.plan.jobs_of(number))

    def _sent(self) -> Generator[tuple[int, int, Item], None, None]:
        """Yield what was sent, with its round and its place there."""
        for number, packs in enumerate(self._rounds):
            for place, items in enumerate(packs):
                for item in items:
                    yield number, place, item

    def _have_gathered(self) -> bool:
        self._due_since = self._due_since or time.monotonic()
        return time.monotonic() - self._due_since >= GATHER_S

    def _is_spent(self, item: Item) -> bool:
        return self._times_sent[item] >= MAX_SENT or self.desk.times_begun(item) >= MAX_BEGUN

    def _is_over(self, number: int, place: int, status: Status | None) -> bool:
        """Return whether a job has ended so long ago that what it wrote must be seen by now."""
        if status is not None and status.phase is not Phase.ENDED:
            self._ended_at.pop((number, place), None)  # it was requeued
            return False
        ended_at = self._ended_at.setdefault((number, place), time.monotonic())
        return time.monotonic() - ended_at >= self.site.profile.settle_s

    def _note_losses(self, busy: set[Item], statuses: Sequence[dict[int, Status]]) -> None:
        losses = []
        for number, place, item in self._sent():
            is_open = item not in self._verdicts and item not in busy and item in self._mine
            if is_open and (number, item) not in self._lost:
                status = statuses[number].get(place)
                losses.append(self._loss(item, number, place, status))
                is_ours = number >= self._first_round  # what failed an earlier command has been mended
                if is_ours and status is not None and self._has_failed_at_once(status, self._rounds[number][place]):
                    self._avoided.add(status.node)
        self._lost |= {(loss.round, loss.item) for loss in losses}
        if losses:
            self.desk.add_losses(losses)

    def _has_failed_at_once(self, status: Status, items: Sequence[Item]) -> bool:
        """Return whether a job began with nothing: its node may do so again, and is soon free to be given the next one."""
        return status.state.startswith("FAILED") and bool(status.node) and status.job not in self.desk.begun_by(items)

    def _loss(self, item: Item, number: int, place: int, status: Status | None) -> Loss:
        known = status or Status(job="?", phase=Phase.ENDED, state="not in the queue any more")
        reason = self._refused.get(number) or self.desk.failure(number, place)
        return Loss(item=item, round=number, job=known.job, state=known.state, node=known.node, reason=reason)

    def _send(self, due: Sequence[Item], *, lonely: bool) -> None:
        """Send a round. One that is not taken is fatal only if no job is left that would be watched meanwhile."""
        number = len(self._rounds)
        packs = pack(
            due,
            estimates(self.batch),
            max_jobs=self.site.max_jobs,
            length=self.site.job_length,
            alone=frozenset(item for item in due if self.desk.times_begun(item)),
        )
        self.desk.add_round(number, packs)
        if self.plan.spread:
            for place in range(len(packs)):
                make_key(self.desk.crew(number, place))
        self._rounds.append(packs)
        self._times_sent.update(due)
        self._due_since = None
        try:
            self._submit(number, len(packs))
        except ExecutorError as error:
            if lonely:
                raise ExecutorError(f"{error} What was graded is kept: type the same command with --resume.") from None
            self._refused[number] = str(error)

    def _submit(self, number: int, length: int) -> None:
        folder, token = str(self.desk.folder), self.plan.token
        calls = [partial(run_pack, folder, token, number, place) for place in range(length)]
        executor, name = self.site.executor, self.plan.jobs_of(number)
        if self._avoided:
            try:
                executor.submit(name, calls, at_once=self.site.max_jobs, avoid=self._avoided)
            except ExecutorError:  # perhaps no node is left
                self._avoided.clear()
            else:
                return
        executor.submit(name, calls, at_once=self.site.max_jobs)

    def _told(self, items: Sequence[Item]) -> str:
        """Return why these items have no verdict."""
        losses = self.desk.losses()
        lines = [f"{item}: " + "; ".join(str(loss) for loss in losses if loss.item == item) for item in items]
        return (
            f"{len(items)} of {len(self._items)} items have no result, through no fault of theirs that is known:\n"
            + "\n".join(lines)
            + f"\nThe jobs' logs are in {self.batch.job_logs}. All other results are kept: mend what is wrong there, "
            "then type the same command with --resume."
        )

    def refused(self, error: OSError) -> str:
        """Return what a person must know when this machine does not let the command write: a full disk, most likely."""
        items = items_of(self._waiting, self.batch)
        return (
            f"The machine refused: {error}. {len(items)} of {len(self._items)} items are in no result file yet:\n"
            + "\n".join(map(str, items))
            + "\nJobs go on, and what they have graded is kept. Make room, or mend what else is wrong there, then type "
            "the same command with --resume."
        )

    def _report(self, statuses: Sequence[dict[int, Status]], trouble: str) -> None:
        phases = [status.phase for known in statuses for status in known.values()]
        progress = BatchProgress(
            items=len(self._items),
            done=len(self._verdicts),
            waiting=phases.count(Phase.WAITING),
            running=phases.count(Phase.RUNNING),
            why=_commonest([status.state for known in statuses for status in known.values()], phases),
            trouble=trouble,
        )
        self.tell(progress)


def _commonest(states: Sequence[str], phases: Sequence[Phase]) -> str:
    """Return what most of the jobs that wait are told to wait for."""
    waiting = Counter(state for state, phase in zip(states, phases, strict=True) if phase is Phase.WAITING)
    return waiting.most_common(1)[0][0] if waiting else ""
