"""From the evidence on a chapter to its part of the result."""

from collections.abc import Sequence

import msgspec

from grader.batch.evidence import Evidence
from grader.batch.result import ResultOfChapter, ResultOfExercise, ResultOfTest
from grader.batch.source_reading import lines_to_read
from grader.course.catalog import Exercise
from grader.course.judging.report import Record
from grader.course.score import ExerciseScore, score_exercise
from grader.harness.outcome import Outcome

UNCOUNTED = "Its ranks shared a network, so their traffic could not be checked: the score relies on what they recorded."


def score_exercises(evidence: Evidence) -> tuple[ExerciseScore, ...]:
    """Return a score for each exercise of the chapter, in its order.

    An exercise whose file has a fault was not run, and one that a dying judge did not reach has no evidence: both earn
    nothing.
    """
    return tuple(_score(exercise, evidence) for exercise in evidence.intake.chapter.exercises)


def _score(exercise: Exercise, evidence: Evidence) -> ExerciseScore:
    fault = evidence.not_run.get(exercise.id)
    if fault is not None:
        return ExerciseScore(points=exercise.points, score=0.0, outcome=fault.outcome)
    records = _records_of(exercise, evidence)
    if not records and evidence.judge != "ended":
        return ExerciseScore(points=exercise.points, score=0.0, outcome=Outcome.CRASHED)
    return score_exercise(exercise, records)


def chapter_result(
    evidence: Evidence, scores: Sequence[ExerciseScore], *, course_digest: str, counted: bool
) -> ResultOfChapter:
    """Return the chapter's part of the result; `counted`: the kernel counted the bytes that ranks sent each other."""
    pairs = zip(evidence.intake.chapter.exercises, scores, strict=True)
    exercises = tuple(_exercise_result(exercise, score, evidence, counted=counted) for exercise, score in pairs)
    return ResultOfChapter(
        chapter=evidence.intake.chapter.id,
        course_digest=course_digest,
        judge=evidence.judge,
        judge_exit_code=evidence.exit_code,
        judge_runs=evidence.runs,
        taken=evidence.intake.taken,
        found_in=evidence.intake.found_in,
        left_out=evidence.intake.left_out,
        points=sum(exercise.points for exercise in exercises),
        score=total(exercises),
        exercises=exercises,
        to_read=lines_to_read(evidence.intake.chapter, evidence.intake.contents),
    )


def total(parts: Sequence[ResultOfExercise | ResultOfChapter]) -> float:
    """Return the sum of the scores, without those that could not be decided."""
    return round(sum(part.score or 0.0 for part in parts), 1)


def _exercise_result(
    exercise: Exercise, score: ExerciseScore, evidence: Evidence, *, counted: bool
) -> ResultOfExercise:
    tests = tuple(
        msgspec.convert(record, ResultOfTest, from_attributes=True) for record in _records_of(exercise, evidence)
    )
    deciding = _deciding(tests, score.outcome)
    world_sizes = tuple(sorted({size for test in tests for size in test.world_sizes}))
    uncounted = not counted and any(size > 1 for size in world_sizes)
    return ResultOfExercise(
        exercise=exercise.id,
        points=score.points,
        score=score.score,
        outcome=score.outcome,
        explanation=deciding.for_student if deciding else _untested(exercise, score, evidence),
        hidden_explanation=deciding.explanation if deciding and deciding.hidden else "",
        caveat=UNCOUNTED if uncounted else "",
        world_sizes=world_sizes,
        seconds=round(sum(test.seconds for test in tests), 4),
        tests=tests,
    )


def _deciding(tests: Sequence[ResultOfTest], outcome: Outcome) -> ResultOfTest | None:
    """Return the test that says why the exercise ended as it did: the first public one with its outcome.

    If only hidden ones have it, then the first of these that fails: the same that the student's page tells.
    """
    alike = [test for test in tests if test.outcome is outcome is not Outcome.PASSED]
    hidden = [test for test in tests if test.hidden and alike]
    ordered = [
        *(test for test in alike if not test.hidden),
        *(test for test in hidden if test.has_failed),
        *(test for test in hidden if test.outcome is Outcome.NOT_GRADABLE),
    ]
    return next(iter(ordered), None)


def _untested(exercise: Exercise, score: ExerciseScore, evidence: Evidence) -> str:
    """Return why an exercise did not pass, if no test decided it."""
    if score.outcome is Outcome.PASSED:
        return ""
    fault = evidence.not_run.get(exercise.id)
    return fault.explanation if fault else score.problem or evidence.trouble


def _records_of(exercise: Exercise, evidence: Evidence) -> list[Record]:
    return [record for record in evidence.records if record.exercise == exercise.id]
