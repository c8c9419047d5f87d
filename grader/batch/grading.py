"""One submission from its folder to its result file: `STEPS`, each a function from one frozen value to the next."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from grader.batch.batch import Batch
from grader.batch.evidence import Evidence, judge_chapter
from grader.batch.feedback import feedback
from grader.batch.intake.find import ChapterFolders, Submission, find_chapters
from grader.batch.intake.take import Intake, list_beside, nothing_to_take, take_chapter
from grader.batch.result import ResultOfChapter, SubmissionResult, write_result
from grader.batch.scores import chapter_result, score_exercises, total
from grader.course.catalog import Chapter
from grader.course.judging.judge_process import Watch
from grader.course.score import ExerciseScore
from grader.harness.protocol.files import write_whole

Tell = Callable[[Submission, float], None]
"""Called with the fraction of a submission that is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What every step may use beside the value it is given."""

    batch: Batch
    submission: Submission
    scratch: Path
    """A folder of this submission's own, gone when its last step is done."""

    tell: Tell
    started: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The chapters have been found."""

    layout: ChapterFolders


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The files have been read, each once."""

    intakes: tuple[Intake, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """The accepted files lie in `folder`, and nothing else with them."""

    intakes: tuple[Intake, ...]
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The judge has seen every chapter of which there is anything to see."""

    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Every exercise has a score."""

    evidence: tuple[Evidence, ...]
    scores: tuple[tuple[ExerciseScore, ...], ...]
    """For each chapter, in the order of its exercises."""


def load(submission: Submission, work: Work) -> Loaded:
    """Find the folder of each chapter."""
    return Loaded(layout=find_chapters(submission, work.batch.course))


def accept(loaded: Loaded, work: Work) -> Accepted:
    """Read the declared files; write down what is missing, unusable or left out."""
    return Accepted(intakes=_take(loaded.layout, work.batch))


def stage(accepted: Accepted, work: Work) -> Staged:
    """Write the accepted files to a private folder."""
    for intake in accepted.intakes:
        folder = work.scratch / intake.chapter.id
        folder.mkdir()
        for file, content in intake.contents.items():
            (folder / file).write_bytes(content)
    return Staged(intakes=accepted.intakes, folder=work.scratch)


def run(staged: Staged, work: Work) -> Judged:
    """Judge one chapter after the other."""

    def watch(chapters_done: int) -> Watch:
        return lambda done, every: work.tell(
            work.submission, (chapters_done + done / max(every, 1)) / len(staged.intakes)
        )

    evidence = (
        judge_chapter(intake, staged.folder, work.batch, watch(number)) for number, intake in enumerate(staged.intakes)
    )
    return Judged(evidence=tuple(evidence))


def score(judged: Judged, _work: Work) -> Scored:
    """Score every exercise from its evidence."""
    return Scored(evidence=judged.evidence, scores=tuple(score_exercises(chapter) for chapter in judged.evidence))


def report(scored: Scored, work: Work) -> SubmissionResult:
    """Build the result."""
    chapters = tuple(
        _chapter_result(evidence, scores, work.batch)
        for evidence, scores in zip(scored.evidence, scored.scores, strict=True)
    )
    return whole_result(work.submission, chapters, work.batch, seconds=time.monotonic() - work.started)


def _chapter_result(evidence: Evidence, scores: tuple[ExerciseScore, ...], batch: Batch) -> ResultOfChapter:
    digest = batch.digests[evidence.intake.chapter.id]
    counted = batch.wall.counts_bytes and batch.agents is None
    return chapter_result(evidence, scores, course_digest=digest, counted=counted)


def whole_result(
    submission: Submission, chapters: tuple[ResultOfChapter, ...], batch: Batch, *, seconds: float
) -> SubmissionResult:
    """Return the result of a submission from those of its chapters, in the order of the batch."""
    exercises = [exercise for chapter in chapters for exercise in chapter.exercises]
    return SubmissionResult(
        schema_version=1,
        submission=submission.name,
        seed=batch.seed,
        wall=batch.wall,
        points=sum(exercise.points for exercise in exercises),
        score=total(exercises),
        undecided_points=sum(exercise.points for exercise in exercises if exercise.score is None),
        seconds=round(seconds, 2),
        chapters=chapters,
    )


def record(result: SubmissionResult, work: Work) -> SubmissionResult:
    """Write what the student may read, and then the result itself, which says that all is done."""
    write_files(result, work.submission, work.batch)
    return result


def write_files(result: SubmissionResult, submission: Submission, batch: Batch) -> None:
    """Write a submission's feedback, and then its result."""
    write_whole(batch.feedback_path(submission), feedback(result).encode())
    write_result(result, batch.result_path(submission))


STEPS: tuple[Callable[[Any, Work], Any], ...] = (load, accept, stage, run, score, report, record)


def grade(submission: Submission, batch: Batch, tell: Tell) -> SubmissionResult:
    """Return the result of one submission after it was recorded.

    Raises: CatalogError if the course cannot grade anything; StoppedError if the batch was told to end.
    """
    value: Any = submission
    with tempfile.TemporaryDirectory(prefix="submission-") as scratch:
        work = Work(batch=batch, submission=submission, scratch=Path(scratch), tell=tell, started=time.monotonic())
        for step in STEPS:
            value = step(value, work)
    assert isinstance(value, SubmissionResult)
    return value


def grade_chapter(submission: Submission, chapter: Chapter, batch: Batch) -> ResultOfChapter:
    """Return the result of one of the batch's chapters, as it is in the result of the whole submission.

    Raises: what `grade` raises.
    """
    with tempfile.TemporaryDirectory(prefix="submission-") as scratch:
        work = Work(
            batch=batch, submission=submission, scratch=Path(scratch), tell=_tell_nobody, started=time.monotonic()
        )
        intakes = accept(load(submission, work), work).intakes
        only = Accepted(intakes=tuple(intake for intake in intakes if intake.chapter.id == chapter.id))
        scored = score(run(stage(only, work), work), work)
        return _chapter_result(scored.evidence[0], scored.scores[0], batch)


def _tell_nobody(_submission: Submission, _fraction: float) -> None:
    pass


def read_files(submission: Submission, batch: Batch) -> tuple[Intake, ...]:
    """Return what would be graded of a submission, without grading it."""
    return _take(find_chapters(submission, batch.course), batch)


def _take(layout: ChapterFolders, batch: Batch) -> tuple[Intake, ...]:
    found = [chapter.id for chapter in batch.chapters if chapter.id in layout.folders]
    problem = layout.problem or f"The submission holds only {', '.join(sorted(layout.folders))}."
    first, *rest = (
        take_chapter(chapter, layout.folders[chapter.id]) if chapter.id in found else nothing_to_take(chapter, problem)
        for chapter in batch.chapters
    )
    # Where files lie flat, the chapter has listed them itself.
    beside = () if layout.top in layout.folders.values() else list_beside(layout.top, set(found))
    return (replace(first, left_out=(*first.left_out, *layout.left_out, *beside)), *rest)
