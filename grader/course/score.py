"""From the records of an exercise's tests to its score and its outcome: pure, and failing closed.

Equivalence is a gate: an answer that is wrong earns nothing, however little it communicates. Behind the gate each aspect
is earned whole or not at all. What a machine could not decide has no score, rather than zero or full.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from grader.course.catalog import Chapter, Exercise
from grader.course.judging.report import Aspect, Record
from grader.harness.outcome import Outcome

WEIGHTS: Mapping[Aspect, int] = MappingProxyType({"equivalence": 50, "property": 30, "robustness": 20})
"""Shares of an exercise's points; an aspect without tests gives its share to the others."""

_ALL_PASSED = {Outcome.PASSED}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExerciseScore:
    """What one exercise is worth and what was earned."""

    points: int
    score: float | None
    """None where it could not be decided: outcome `not_gradable`."""

    outcome: Outcome
    problem: str = ""
    """What the course's author must fix, if the tests themselves are at fault."""


def score_exercise(exercise: Exercise, records: Collection[Record]) -> ExerciseScore:
    """Return the score of one exercise; `records` are those of all its tests, and of no other test."""
    if not records:
        problem = (
            f"Exercise '{exercise.id}' has no test that the judge collected, so it cannot be scored. Run `grade check`."
        )
        return ExerciseScore(points=exercise.points, score=None, outcome=Outcome.NOT_GRADABLE, problem=problem)
    outcomes = _by_aspect(records)
    if _is_undecided(outcomes):
        return ExerciseScore(points=exercise.points, score=None, outcome=Outcome.NOT_GRADABLE)
    return ExerciseScore(
        points=exercise.points,
        score=round(exercise.points * _share(outcomes), 1),
        outcome=_outcome({record.outcome for record in records}),
    )


def score_chapter(chapter: Chapter, records: Iterable[Record]) -> dict[str, ExerciseScore]:
    """Return the score of each exercise of a chapter, by id, in the chapter's order."""
    of_chapter = [record for record in records if record.chapter == chapter.id]
    return {
        exercise.id: score_exercise(exercise, [record for record in of_chapter if record.exercise == exercise.id])
        for exercise in chapter.exercises
    }


def _by_aspect(records: Iterable[Record]) -> dict[Aspect, set[Outcome]]:
    outcomes: dict[Aspect, set[Outcome]] = {}
    for record in records:
        outcomes.setdefault(record.aspect, set()).add(record.outcome)
    return outcomes


def _is_undecided(outcomes: Mapping[Aspect, set[Outcome]]) -> bool:
    """Whether a test that this machine could not run might still change the score.

    It cannot where the gate is shut already: a wrong answer stays wrong on any machine.
    """
    gate_is_shut = bool(outcomes.get("equivalence", set()) - {Outcome.PASSED, Outcome.NOT_GRADABLE})
    return not gate_is_shut and any(Outcome.NOT_GRADABLE in seen for seen in outcomes.values())


def _share(outcomes: Mapping[Aspect, set[Outcome]]) -> float:
    if outcomes.get("equivalence", _ALL_PASSED) != _ALL_PASSED:
        return 0.0
    earned = sum(WEIGHTS[aspect] for aspect, seen in outcomes.items() if seen == _ALL_PASSED)
    return earned / sum(WEIGHTS[aspect] for aspect in outcomes)


def _outcome(seen: set[Outcome]) -> Outcome:
    """Return the outcome of a decided exercise: the most violent end of its tests, which the student must see first.

    An exercise is `not_attempted` only if nothing in it passed or failed. Half of it filled in is an attempt: `failed`.
    """
    if seen == _ALL_PASSED:
        return Outcome.PASSED
    for outcome in (Outcome.CRASHED, Outcome.TIMED_OUT, Outcome.FAILED):
        if outcome in seen:
            return outcome
    return Outcome.FAILED if Outcome.PASSED in seen else Outcome.NOT_ATTEMPTED
