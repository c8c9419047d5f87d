"""A class of submissions as jobs elsewhere: sent in rounds, each item until it has a verdict or has had its chances.

The command only reads what jobs leave on the desk and what the queue says of them, so it may die at any moment: jobs go
on, and a later command with --resume finds both again.
"""

import secrets
import shutil
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from course_env.errors import ExecutorError, UsageError
from grader.batch.batch import Batch
from grader.batch.desk import Desk, Loss, Plan, Verdict
from grader.batch.job import MAX_BEGUN, run_pack
from grader.batch.steps import whole_result, write_files
from grader.batch.submission import Submission
from grader.batch.work_items import Item, estimates, items_of, pack
from grader.batch.workers import Graded, earlier_result, write_batch_files
from grader.harness.agents.roster import make_key
from slurm.executors import Executor, Phase, Status
from slurm.profile import Profile

POLL_S = 1.0
MAX_ROUNDS = 5
"""Arrays that one command sends: an item whose jobs end before they begin with it is not sent for ever."""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a batch is. `trouble`: why nothing is known of the queue at the moment."""

    items: int
    done: int
    waiting: int
    running: int
    trouble: str = ""


class UndecidedError(ExecutorError):
    """Items are left over that had their chances."""


def grade_all_on(
    executor: Executor,
    profile: Profile,
    submissions: Sequence[Submission],
    batch: Batch,
    *,
    max_jobs: int,
    spread: bool,
    resume: bool,
    tell: Callable[[Progress], None],
) -> Generator[Graded, None, None]:
    """Yield each submission as its result is recorded.

    With `spread`, ranks run in all tasks of a job, for which the executor was made; otherwise in the one that grades.
    With `resume`, results are kept whose submission and course are still the same, and verdicts and jobs of a batch
    that was left.
    Raises: UsageError if nodes would not see the files; ExecutorError if jobs are not taken, items end without verdicts,
    or the machine lets nothing be written.
    """
    require_shared(profile, [batch.out, batch.course.root, *(submission.path for submission in submissions)])
    write_batch_files(batch)
    left = []
    for submission in submissions:
        earlier = earlier_result(submission, batch) if resume else None
        if earlier is None:
            left.append(submission)
        else:
            yield Graded(submission=submission, result=earlier, kept=True)
    if left:
        desk, plan = _desk(left, batch, executor, spread=spread, resume=resume)
        dispatch = _Dispatch(
            executor=executor,
            profile=profile,
            desk=desk,
            plan=plan,
            submissions=left,
            batch=batch,
            max_jobs=max_jobs,
            tell=tell,
        )
        try:
            yield from dispatch.grade()
        except OSError as error:
            raise ExecutorError(dispatch.refused(error)) from None
        executor.close()


def require_shared(profile: Profile, paths: Sequence[Path]) -> None:
    """Raise UsageError for a path that the nodes of a cluster do not see."""
    folder = profile.shared_folder
    for path in paths:
        if folder is not None and not path.resolve().is_relative_to(folder.resolve()):
            raise UsageError(
                f"The nodes do not see {path}: only what lies in {folder} is shared (`folder` of the profile). "
                "Put course, submissions and --out there. Nothing was graded."
            )


def _desk(
    submissions: Sequence[Submission], batch: Batch, executor: Executor, *, spread: bool, resume: bool
) -> tuple[Desk, Plan]:
    """Return the desk of the batch that is resumed, or a fresh one."""
    desk = Desk(batch.desk)
    plan = Plan(
        token=secrets.token_hex(4),
        root=str(batch.course.root),
        chapters=tuple(chapter.id for chapter in batch.chapters),
        digests=dict(batch.digests),
        seed=batch.seed,
        wall=batch.wall,
        spread=spread,
        submissions={submission.name: str(submission.path) for submission in submissions},
    )
    earlier = desk.read_plan() if resume else None
    if earlier is not None and _is_same(earlier, plan):
        return desk, earlier
    if desk.folder.exists():
        cancel(executor, batch)
        shutil.rmtree(desk.folder)
    desk.lay_out(plan)
    return desk, plan


def _is_same(earlier: Plan, plan: Plan) -> bool:
    """Return whether an earlier plan covers all that is left to do: what it has more is done."""
    covered = plan.submissions.items() <= earlier.submissions.items()
    alike = msgspec.structs.replace(earlier, token=plan.token, submissions=plan.submissions) == plan
    return covered and alike


@dataclass(kw_only=True)
class _Dispatch:
    """One command's watch over a batch."""

    executor: Executor
    profile: Profile
    desk: Desk
    plan: Plan
    submissions: Sequence[Submission]
    batch: Batch
    max_jobs: int
    tell: Callable[[Progress], None]

    def __post_init__(self) -> None:
        self._items = items_of(self.submissions, self.batch)
        self._verdicts: dict[Item, Verdict] = {}
        self._rounds = self.desk.rounds()
        self._last_round = len(self._rounds) + MAX_ROUNDS
        self._ended_at: dict[tuple[int, int], float] = {}
        self._lost = {(loss.round, loss.item) for loss in self.desk.losses()}
        self._waiting = list(self.submissions)

    def grade(self) -> Generator[Graded, None, None]:
        # Whoever types the command again has mended what was wrong.
        self.desk.forgive([item for item in self._items if self._is_spent(item)])
        while self._waiting:
            self._collect()
            for submission in [one for one in self._waiting if self._is_done(one)]:
                graded = self._record(submission)
                self._waiting.remove(submission)
                yield graded
            if self._waiting:
                self._go_on()

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
            statuses = [self.executor.statuses(self.plan.jobs_of(number)) for number in range(len(self._rounds))]
        except ExecutorError as error:  # a controller that restarts; what jobs leave can be read meanwhile
            self._report([], str(error))
            time.sleep(POLL_S)
            return
        self._report(statuses, "")
        busy = {
            item
            for number, packs in enumerate(self._rounds)
            for place, items in enumerate(packs)
            if not self._is_over(number, place, statuses[number].get(place))
            for item in items
        }
        self._collect()
        self._note_losses(busy, statuses)
        due = [item for item in self._items if item not in self._verdicts and item not in busy]
        spent = [item for item in due if self._is_spent(item)]
        if len(due) > len(spent):
            self._send([item for item in due if item not in spent])
        elif spent and busy.issubset(self._verdicts):
            raise UndecidedError(self._told(spent))
        else:
            time.sleep(POLL_S)

    def _is_spent(self, item: Item) -> bool:
        return self.desk.times_begun(item) >= MAX_BEGUN or len(self._rounds) >= self._last_round

    def _is_over(self, number: int, place: int, status: Status | None) -> bool:
        """Return whether a job has ended so long ago that what it wrote must be seen by now."""
        if status is not None and status.phase is not Phase.ENDED:
            self._ended_at.pop((number, place), None)  # it was requeued
            return False
        ended_at = self._ended_at.setdefault((number, place), time.monotonic())
        return time.monotonic() - ended_at >= self.profile.settle_s

    def _note_losses(self, busy: set[Item], statuses: Sequence[dict[int, Status]]) -> None:
        losses = [
            self._loss(item, number, statuses[number].get(place))
            for number, packs in enumerate(self._rounds)
            for place, items in enumerate(packs)
            for item in items
            if item in self._items
            and item not in self._verdicts
            and item not in busy
            and (number, item) not in self._lost
        ]
        self._lost |= {(loss.round, loss.item) for loss in losses}
        if losses:
            self.desk.add_losses(losses)

    def _loss(self, item: Item, number: int, status: Status | None) -> Loss:
        job, state = ("?", "not in the queue any more") if status is None else (status.job, status.state)
        return Loss(item=item, round=number, job=job, state=state)

    def _send(self, due: Sequence[Item]) -> None:
        number = len(self._rounds)
        packs = pack(
            due,
            estimates(self.batch),
            max_jobs=self.max_jobs,
            worthwhile_s=60 * self.profile.worthwhile_minutes,
            alone=frozenset(item for item in due if self.desk.times_begun(item)),
        )
        self.desk.add_round(number, packs)
        if self.plan.spread:
            for place in range(len(packs)):
                make_key(self.desk.crew(number, place))
        self._rounds.append(packs)
        folder, token = str(self.desk.folder), self.plan.token
        calls = [partial(run_pack, folder, token, number, place) for place in range(len(packs))]
        self.executor.submit(self.plan.jobs_of(number), calls)

    def _told(self, items: Sequence[Item]) -> str:
        """Return why these items have no verdict."""
        losses = self.desk.losses()
        lines = [
            f"{item}: " + "; ".join(f"job {loss.job} {loss.state}" for loss in losses if loss.item == item)
            for item in items
        ]
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
        progress = Progress(
            items=len(self._items),
            done=len(self._verdicts),
            waiting=phases.count(Phase.WAITING),
            running=phases.count(Phase.RUNNING),
            trouble=trouble,
        )
        self.tell(progress)


def cancel(executor: Executor, batch: Batch) -> None:
    """End all jobs of the batch that writes where this one does."""
    desk = Desk(batch.desk)
    plan = desk.read_plan()
    if plan is not None:
        for number in range(len(desk.rounds())):
            executor.cancel(plan.jobs_of(number))
