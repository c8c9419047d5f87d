"""A class of submissions as a queue over workers: in any order, with the same results."""

import os
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TypeVar

from grader.batch.batch import Batch
from grader.batch.grading import Tell, grade
from grader.batch.intake.find import Submission
from grader.batch.result import SubmissionResult
from grader.batch.resume import earlier_result, write_batch_files
from grader.course.judging.running_judges import RunningJudges

_Task = TypeVar("_Task")
_Done = TypeVar("_Done")


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """One submission is done."""

    submission: Submission
    result: SubmissionResult
    kept: bool
    """Whether the result is that of an earlier run."""


def default_workers() -> int:
    """Return the number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0))


def grade_all(
    submissions: Sequence[Submission], batch: Batch, *, workers: int, resume: bool, tell: Tell
) -> Generator[Graded, None, None]:
    """Yield each submission as its result is recorded.

    With `resume`, results are kept if submission and course are still the same.
    Raises: the first error that is not a submission's fault, after all judges have ended.
    """
    write_batch_files(batch)
    batch.running_judges.expect(len(submissions))

    def work(submission: Submission) -> Graded:
        earlier = earlier_result(submission, batch) if resume else None
        if earlier is not None:
            return Graded(submission=submission, result=earlier, kept=True)
        return Graded(submission=submission, result=grade(submission, batch, tell), kept=False)

    yield from in_threads(work, submissions, batch.running_judges, workers=workers)


def in_threads(
    work: Callable[[_Task], _Done], tasks: Iterable[_Task], judges: RunningJudges, *, workers: int
) -> Generator[_Done, None, None]:
    """Yield what `work` returns for each task, in the order in which the tasks are done.

    Raises: the first error of a task, after all judges have ended.
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
        judges.close()
