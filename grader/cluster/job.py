"""What one job of a batch does on a node: it grades the items of its pack that have no verdict yet."""

import contextlib
import os
import socket
import time
from functools import partial
from pathlib import Path
from urllib.parse import unquote_to_bytes

from course_env.errors import CatalogError, CourseError, LaunchError
from grader.batch.batch import Batch, plan_batch
from grader.batch.grading import grade_chapter
from grader.batch.intake.find import Submission
from grader.batch.intake.names import student_name
from grader.batch.workers import in_threads
from grader.cluster.desk import BatchPlan, Begun, Desk, Verdict
from grader.cluster.packing import Item, JobId, Pack
from grader.course.catalog import load_course
from grader.course.judging.running_judges import stopped_by_signals
from grader.harness.agents.allocation import be_agent
from grader.harness.trials.walls import problem
from slurm.task import Task, current_task

SHOWN_WITHIN_S = 120.0
"""For a minute after a file was written, a network file system may still say that it does not exist."""

POLL_S = 0.5
MAX_BEGUN = 3
"""How often jobs begin with an item. One that ends its job each time is not tried for ever."""


def run_pack(folder: str, token: str, job: JobId) -> None:
    """Grade a job's pack of the batch in `folder` that has this token. Verdicts are files there; nothing is returned.

    Raises: LaunchError where the batch's wall is not available, or what the command wrote is not visible in the folder;
        CatalogError if the course is not the one that was planned with.
    """
    desk = Desk(Path(folder))
    try:
        plan, pack = _wait_for_pack(desk, token, job)
        if plan.spread:
            crew = desk.crew(job)
            be_agent(crew, current_task(), partial(_grade_pack, pack, desk, plan, crew))
        else:
            _grade_pack(pack, desk, plan, None)
    except CourseError as error:
        with contextlib.suppress(OSError):  # the log also has it
            desk.add_failure(job, str(error))
        raise


def _wait_for_pack(desk: Desk, token: str, job: JobId) -> tuple[BatchPlan, Pack]:
    end = time.monotonic() + SHOWN_WITHIN_S
    while (found := desk.pack_of(token, job)) is None:
        if time.monotonic() >= end:
            raise LaunchError(
                f"{desk.folder} shows on {socket.gethostname()}, after {SHOWN_WITHIN_S:g} s, no batch {token} with round "
                f"{job.round} and a key. Does every node see that folder? `course doctor --profile NAME` tells."
            )
        time.sleep(POLL_S)
    return found


def _grade_pack(pack: Pack, desk: Desk, plan: BatchPlan, crew: Path | None) -> None:
    task = current_task()
    if (reason := problem(plan.wall)) is not None:
        raise LaunchError(
            f"The wall '{plan.wall}' is not available on {task.node}. {reason} "
            "`course doctor --profile NAME` tells which walls the nodes have, and `--wall` asks for one."
        )
    batch = _batch(plan, crew)
    items = [item for item in pack if _is_due(item, desk, plan)]
    work = partial(_grade, desk=desk, plan=plan, batch=batch, task=task)
    with stopped_by_signals(batch.running_judges):
        for _ in in_threads(work, items, batch.running_judges, workers=plan.judges_per_job):
            pass


def _batch(plan: BatchPlan, crew: Path | None) -> Batch:
    course = load_course(Path(plan.root))
    chapters = tuple(course.chapter(chapter) for chapter in plan.chapters)
    batch = plan_batch(
        course,
        chapters,
        seed=plan.seed,
        wall=plan.wall,
        out=Path(os.devnull),
        agents=crew,
        all_tests=plan.all_tests,
    )
    if batch.digests != plan.digests:
        raise CatalogError("The course was edited after the batch was sent. Send it again without --resume.")
    return batch


def _is_due(item: Item, desk: Desk, plan: BatchPlan) -> bool:
    return desk.verdict(item, plan.token) is None and desk.times_begun(item) < MAX_BEGUN


def _grade(item: Item, desk: Desk, plan: BatchPlan, batch: Batch, task: Task) -> None:
    if not _is_due(item, desk, plan):  # an earlier run of the same job may have ended only now
        return
    job = queue_id()
    desk.begin(item, Begun(job=job, node=task.node, restarts=task.run))
    start = time.monotonic()
    path = Path(os.fsdecode(unquote_to_bytes(plan.submissions[item.submission].path)))
    submission = Submission(name=item.submission, student=student_name(item.submission), path=path)
    result = grade_chapter(submission, batch.course.chapter(item.chapter), batch)
    seconds = time.monotonic() - start
    desk.deliver(Verdict(item=item, token=plan.token, job=job, node=task.node, seconds=seconds, result=result))


def queue_id() -> str:
    """Return the id of this process's job, as `squeue` shows it; outside a queue, the id of the process."""
    array, index = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{index}" if array else os.environ.get("SLURM_JOB_ID") or str(os.getpid())
