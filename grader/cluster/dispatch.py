"""A class of submissions as jobs elsewhere: plan a batch, or take over an earlier command's, and watch it.

The command only reads what jobs leave on the desk and what the queue says of them, so it may die at any moment: jobs go
on, and a later command with --resume finds desk and jobs again.
"""

import hashlib
import os
import secrets
import sys
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from urllib.parse import quote

import msgspec

from course_env.errors import ExecutorError, UsageError
from grader.batch.batch import Batch
from grader.batch.grading import read_files
from grader.batch.intake.find import Submission
from grader.batch.resume import earlier_result, write_batch_files
from grader.batch.workers import Graded
from grader.cluster.desk import BatchPlan, Desk, Handed, current_desk, lay_out_desk
from grader.cluster.rounds import BatchProgress, BatchWatch
from grader.cluster.site import Site
from slurm.executors import Executor
from slurm.profile import Profile


def grade_all_on(
    site: Site,
    submissions: Sequence[Submission],
    batch: Batch,
    *,
    resume: bool,
    tell: Callable[[BatchProgress], None],
) -> Generator[Graded, None, None]:
    """Yield each submission as its result is recorded.

    With `resume`, results are kept if submission and course are still the same; so are the verdicts and jobs of the
    batch that an earlier command left.
    Raises: UsageError if nodes would not see the files, or that batch was sent somewhere else; ExecutorError if jobs are
        not taken, items end without verdicts, or files cannot be written.
    """
    require_shared(site.profile, [batch.out, batch.course.root, *(submission.path for submission in submissions)])
    write_batch_files(batch)
    ungraded = []
    for submission in submissions:
        earlier = earlier_result(submission, batch) if resume else None
        if earlier is None:
            ungraded.append(submission)
        else:
            yield Graded(submission=submission, result=earlier, kept=True)
    if not ungraded:
        return
    desk, plan = _desk(ungraded, batch, site, resume=resume)
    watch = BatchWatch(site=site, desk=desk, plan=plan, submissions=ungraded, batch=batch, tell=tell)
    try:
        yield from watch.grade()
    except OSError as error:
        raise ExecutorError(watch.refusal(error)) from None
    site.executor.close()


def require_shared(profile: Profile, paths: Sequence[Path]) -> None:
    """Raise UsageError if the nodes of a cluster do not see one of the paths, or the interpreter, if jobs run this one."""
    folder = profile.shared_folder
    interpreter = () if profile.python else (Path(sys.prefix),)
    for path in (*paths, *interpreter):
        if folder is not None and not path.resolve().is_relative_to(folder.resolve()):
            raise UsageError(
                f"The nodes do not see {path}: only what lies in {folder} is shared (`folder` of the profile). "
                "Put course, submissions, --out and the Python environment there. Nothing was sent."
            )


def _desk(submissions: Sequence[Submission], batch: Batch, site: Site, *, resume: bool) -> tuple[Desk, BatchPlan]:
    """Return the desk of the batch that is resumed, or a fresh one."""
    plan = BatchPlan(
        token=secrets.token_hex(4),
        sent_to=site.name,
        root=str(batch.course.root),
        chapters=tuple(chapter.id for chapter in batch.chapters),
        digests=dict(batch.digests),
        all_tests=batch.all_tests,
        seed=batch.seed,
        wall=batch.wall,
        spread=site.spread,
        judges_per_job=site.judges_per_job,
        submissions={submission.name: _handed(submission, batch) for submission in submissions},
    )
    last = _last_planned(batch)
    if last is not None:
        desk, earlier = last
        if resume and earlier.sent_to != site.name:
            raise UsageError(
                f"The batch in {batch.out} was sent to {earlier.sent_to}, where its jobs may go on. Add --on {earlier.sent_to}; "
                "or leave out --resume, and everything is graded again."
            )
        if resume and _is_same(earlier, plan):
            return desk, earlier
        if earlier.sent_to == site.name:
            _cancel(site.executor, desk, earlier)
    return lay_out_desk(batch.desk, plan), plan


def _handed(submission: Submission, batch: Batch) -> Handed:
    total = hashlib.sha256()
    for intake in read_files(submission, batch):
        total.update(msgspec.json.encode((intake.chapter.id, intake.taken, intake.left_out)))
    return Handed(path=quote(os.fsencode(submission.path)), digest=total.hexdigest())


def _is_same(earlier: BatchPlan, plan: BatchPlan) -> bool:
    """Return whether an earlier plan covers all that is left to do; the rest of what it holds is done."""
    covered = all(earlier.submissions.get(name) == handed for name, handed in plan.submissions.items())
    alike = msgspec.structs.replace(earlier, token=plan.token, submissions=plan.submissions) == plan
    return covered and alike


def cancel(executor: Executor, batch: Batch) -> None:
    """End all jobs of the last batch that was planned in this batch's folder."""
    last = _last_planned(batch)
    if last is not None:
        _cancel(executor, *last)


def _cancel(executor: Executor, desk: Desk, plan: BatchPlan) -> None:
    for round_number in range(len(desk.rounds())):
        executor.cancel(plan.jobs_of(round_number))


def _last_planned(batch: Batch) -> tuple[Desk, BatchPlan] | None:
    """Return the desk and the plan of the last batch that was planned in this batch's folder, if there is one."""
    desk = current_desk(batch.desk)
    plan = None if desk is None else desk.read_plan()
    return None if desk is None or plan is None else (desk, plan)
