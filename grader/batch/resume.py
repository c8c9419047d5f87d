"""What `--resume` goes by: the seed that a batch keeps, and which earlier results are still right."""

from pathlib import Path

import msgspec

from grader.batch.batch import Batch
from grader.batch.grading import read_files
from grader.batch.intake.find import Submission
from grader.batch.result import InvalidResultError, SubmissionResult, read_result, write_schema
from grader.harness.outcome import Outcome
from grader.harness.protocol.files import write_whole


def write_batch_files(batch: Batch) -> None:
    """Write what a batch keeps next to its results: their schema, and the seed for a command that resumes it."""
    write_schema(batch.schema)
    write_whole(_seed_path(batch.out), msgspec.json.encode({"seed": batch.seed}) + b"\n")


def _seed_path(out: Path) -> Path:
    """Return the file in which a batch keeps its seed."""
    return out / "batch.json"


def earlier_seed(out: Path) -> int | None:
    """Return the seed of the batch that wrote to `out`, or None if there is none that can be read."""
    try:
        return msgspec.json.decode(_seed_path(out).read_bytes(), type=dict[str, int]).get("seed")
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
    says_enough = not batch.all_tests or all(
        test.outcome is not Outcome.NOT_RUN
        for chapter in result.chapters
        for exercise in chapter.exercises
        for test in exercise.tests
    )
    return result if is_whole and now == then and same_batch and says_enough else None
