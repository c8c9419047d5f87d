"""A class of submissions as a queue over workers: in any order, with the same results, and resumable."""

import os
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from grader.batch.batch import Batch
from grader.batch.grading import Tell, grade, read_files
from grader.batch.intake.find import Submission
from grader.batch.result import InvalidResultError, SubmissionResult, read_result, write_schema
from grader.course.judging.judge_process import RunningJudges
from grader.harness.protocol.files import write_whole

_Task = TypeVar("_Task")
_Done = TypeVar("_Done")


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """One submission is done."""

    submission: Submission
    result: SubmissionResult
    kept: bool
    """Whether the result is an earlier run's."""


def default_workers() -> int:
    """Return the number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0))


def grade_all(
    submissions: Sequence[Submission], batch: Batch, *, workers: int, resume: bool, tell: Tell
) -> Generator[Graded, None, None]:
    """Yield each submission as its result is recorded.

    With `resume`, results are kept whose submission and course are still the same.
    Raises: the first error that no submission is to blame for, after all judges have ended.
    """
    write_batch_files(batch)

    def work(submission: Submission) -> Graded:
        earlier = earlier_result(submission, batch) if resume else None
        if earlier is not None:
            return Graded(submission=submission, result=earlier, kept=True)
        return Graded(submission=submission, result=grade(submission, batch, tell), kept=False)

    yield from in_threads(work, submissions, batch.running_judges, workers=workers)


def in_threads(
    work: Callable[[_Task], _Done], tasks: Iterable[_Task], judges: RunningJudges, *, workers: int
) -> Generator[_Done, None, None]:
    """Yield what `work` makes of each task, in the order in which they are done.

    Raises: the first error of any of them, after all judges have ended.
    """
    pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="grade")
    try:
        for future in as_completed([pool.submit(work, task) for task in tasks]):
            yield future.result()
    except BaseException:
        judges.stop()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def write_batch_files(batch: Batch) -> None:
    """Write what a batch keeps beside its results: their schema, and the seed for those who resume it."""
    write_schema(batch.schema)
    write_whole(seed_path(batch.out), msgspec.json.encode({"seed": batch.seed}) + b"\n")


def seed_path(out: Path) -> Path:
    """Return the file in which a batch keeps its seed, for those who resume it."""
    return out / "batch.json"


def earlier_seed(out: Path) -> int | None:
    """Return the seed of the batch that wrote to `out`, if there is one."""
    try:
        return msgspec.json.decode(seed_path(out).read_bytes(), type=dict[str, int]).get("seed")
    except (OSError, msgspec.MsgspecError):
        return None


def earlier_result(submission: Submission, batch: Batch) -> SubmissionResult | None:
    """Return the recorded result if grading again would give the same."""
    try:
        result = read_result(batch.result_path(submission))
    except (OSError, InvalidResultError):
        return None
    now = [
        (intake.chapter.id, batch.digests[intake.chapter.id], intake.taken, intake.left_out)
        for intake in read_files(submission, batch)
    ]
    then = [(chapter.chapter, chapter.course_digest, chapter.taken, chapter.left_out) for chapter in result.chapters]
    is_whole = all(chapter.judge in {"ended", "not_run"} for chapter in result.chapters)
    same_batch = (result.seed, result.wall) == (batch.seed, batch.wall)
    return result if is_whole and now == then and same_batch else None
