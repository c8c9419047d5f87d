"""One submission from its folder to its result file: find, read, stage, judge, score, write."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from grader.batch.batch import Batch
from grader.batch.evidence import Evidence, judge_chapter
from grader.batch.feedback import feedback
from grader.batch.intake.find import Submission
from grader.batch.intake.listing import Declared
from grader.batch.intake.names import readable
from grader.batch.intake.reading_process import read_apart
from grader.batch.intake.take import Intake
from grader.batch.result import ResultOfChapter, SubmissionResult, write_result
from grader.batch.scores import chapter_result, score_exercises, total
from grader.course.catalog import Chapter
from grader.course.judging.judge_process import Watch
from grader.harness.protocol.files import write_whole
from grader.harness.protocol.held_folder import held_folder

Tell = Callable[[Submission, float], None]
"""Called with the fraction of a submission that is done."""


def grade(submission: Submission, batch: Batch, tell: Tell) -> SubmissionResult:
    """Return the result of one submission after it was recorded.

    Raises: CatalogError if the course cannot grade anything; StoppedError if the batch was told to end.
    """
    started = time.monotonic()
    intakes = read_files(submission, batch)
    with _staged(intakes) as folder:
        chapters = _grade_chapters(intakes, folder, batch, lambda fraction: tell(submission, fraction))
        result = whole_result(submission, chapters, batch, seconds=time.monotonic() - started)
        write_files(result, submission, batch)
    return result


def grade_chapter(submission: Submission, chapter: Chapter, batch: Batch) -> ResultOfChapter:
    """Return the result of one of the batch's chapters, as it is in the result of the whole submission.

    Raises: what `grade` raises.
    """
    intakes = [intake for intake in read_files(submission, batch) if intake.chapter.id == chapter.id]
    with _staged(intakes) as folder:
        return _grade_chapters(intakes, folder, batch, lambda _fraction: None)[0]


def read_files(submission: Submission, batch: Batch) -> tuple[Intake, ...]:
    """Return what would be graded of a submission, by chapter: its declared files, each read once, and what was left out."""
    known, wanted = _declared(batch.course.chapters), _declared(batch.chapters)
    read = read_apart(submission.path, known, wanted)
    return tuple(
        Intake(
            chapter=chapter,
            contents=files.contents,
            faults=files.faults,
            left_out=files.left_out,
            found_in=files.found_in,
        )
        for chapter, files in zip(batch.chapters, read, strict=True)
    )


def _declared(chapters: Sequence[Chapter]) -> tuple[Declared, ...]:
    return tuple(Declared(id=chapter.id, files=chapter.files) for chapter in chapters)


@contextmanager
def _staged(intakes: Sequence[Intake]) -> Iterator[Path]:
    """Give a private folder that holds the accepted files and nothing else, and is removed with the block."""
    with held_folder("submission") as scratch:
        for intake in intakes:
            folder = scratch / intake.chapter.id
            folder.mkdir()
            for file, content in intake.contents.items():
                (folder / file).write_bytes(content)
        yield scratch


def _grade_chapters(
    intakes: Sequence[Intake], folder: Path, batch: Batch, tell: Callable[[float], None]
) -> tuple[ResultOfChapter, ...]:
    """Judge one chapter after the other, and return their results; `tell` is called with the fraction that is done."""

    def watch(chapters_done: int) -> Watch:
        return lambda done, every: tell((chapters_done + done / max(every, 1)) / len(intakes))

    evidence = [judge_chapter(intake, folder, batch, watch(index)) for index, intake in enumerate(intakes)]
    return tuple(_chapter_result(chapter, batch) for chapter in evidence)


def _chapter_result(evidence: Evidence, batch: Batch) -> ResultOfChapter:
    digest = batch.digests[evidence.intake.chapter.id]
    counted = batch.wall.counts_bytes and batch.agents is None
    return chapter_result(evidence, score_exercises(evidence), course_digest=digest, counted=counted)


def whole_result(
    submission: Submission, chapters: tuple[ResultOfChapter, ...], batch: Batch, *, seconds: float
) -> SubmissionResult:
    """Return the result of a submission from those of its chapters, in the order of the batch."""
    exercises = [exercise for chapter in chapters for exercise in chapter.exercises]
    return SubmissionResult(
        schema_version=1,
        submission=readable(submission.student),
        seed=batch.seed,
        wall=batch.wall,
        points=sum(exercise.points for exercise in exercises),
        score=total(exercises),
        undecided_points=sum(exercise.points for exercise in exercises if exercise.score is None),
        seconds=round(seconds, 2),
        chapters=chapters,
    )


def write_files(result: SubmissionResult, submission: Submission, batch: Batch) -> None:
    """Write what the student may read, and then the result itself, which says that all is done."""
    write_whole(batch.feedback_path(submission), feedback(result).encode())
    write_result(result, batch.result_path(submission))
