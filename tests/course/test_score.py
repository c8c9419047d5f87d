"""Scores: what each combination of outcomes earns."""

import pytest

from grader.course.catalog import Exercise
from grader.course.judging.report import Aspect, Record
from grader.course.score import ExerciseScore, score_exercise
from grader.harness.outcome import Outcome

EXERCISE = Exercise(id="ring", title="t", file="ring.py", symbols=("ring",), points=28, source="s", hints=("h",))

P, F, N = Outcome.PASSED, Outcome.FAILED, Outcome.NOT_ATTEMPTED
C, T, X = Outcome.CRASHED, Outcome.TIMED_OUT, Outcome.NOT_GRADABLE


def score(**outcomes: tuple[Outcome, ...]) -> ExerciseScore:
    """Return the score of an exercise with these outcomes by aspect: e, p, r."""
    aspects: dict[str, Aspect] = {"e": "equivalence", "p": "property", "r": "robustness"}
    records = [
        Record(
            test=f"{key}{number}",
            chapter="ch02",
            exercise="ring",
            aspect=aspects[key],
            claim="",
            hidden=False,
            finished=True,
            outcome=outcome,
            explanation="",
            seconds=0.0,
            world_sizes=(),
        )
        for key, values in outcomes.items()
        for number, outcome in enumerate(values)
    ]
    return score_exercise(EXERCISE, records)


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ({"e": (P, P), "p": (P,), "r": (P,)}, 28.0),
        ({"e": (P, F), "p": (P,), "r": (P,)}, 0.0),
        ({"e": (P,), "p": (P, F), "r": (P,)}, 19.6),
        ({"e": (P,), "p": (P,), "r": (F,)}, 22.4),
        ({"e": (P,), "p": (F,), "r": (F,)}, 14.0),
        ({"e": (P,), "p": (F,)}, 17.5),
        ({"e": (P,), "r": (T,)}, 20.0),
        ({"e": (P,)}, 28.0),
        ({"p": (P,), "r": (F,)}, 16.8),
        ({"e": (N,), "p": (N,), "r": (N,)}, 0.0),
    ],
)
def test_equivalence_is_a_gate_and_each_aspect_is_whole_or_nothing(
    outcomes: dict[str, tuple[Outcome, ...]], expected: float
) -> None:
    """Unless every equivalence test passes, nothing is earned; the aspects with tests share the points as 50 to 30 to 20."""
    assert score(**outcomes).score == expected


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ((P, P), P),
        ((N, N), N),
        ((P, N), F),
        ((F, N), F),
        ((P, F), F),
        ((F, T), T),
        ((T, C, F, P), C),
    ],
)
def test_the_outcome_is_the_most_violent_end(outcomes: tuple[Outcome, ...], expected: Outcome) -> None:
    """An exercise crashed, else timed out, else failed; it is not attempted only if nothing in it passed or failed."""
    assert score(e=outcomes).outcome is expected


@pytest.mark.parametrize(
    "outcomes", [{"e": (P, X)}, {"e": (P,), "p": (X,)}, {"e": (P,), "p": (F,), "r": (X,)}, {"e": (X,), "p": (F,)}]
)
def test_what_this_machine_cannot_decide_has_no_score(outcomes: dict[str, tuple[Outcome, ...]]) -> None:
    """A test that could not be graded here gives neither zero nor full points."""
    assert score(**outcomes) == ExerciseScore(points=28, score=None, outcome=X)


def test_a_wrong_answer_is_zero_on_any_machine() -> None:
    """Once an equivalence test has failed, a test that could not run changes nothing."""
    assert score(e=(F,), p=(X,)) == ExerciseScore(points=28, score=0.0, outcome=F)


def test_an_untouched_exercise_is_not_attempted_even_without_a_gpu() -> None:
    """An exercise that was not written is not attempted, even if its other tests need a GPU that is missing."""
    assert score(e=(N, X)) == ExerciseScore(points=28, score=0.0, outcome=N)


def test_an_exercise_without_tests_earns_nothing_and_says_so() -> None:
    """An exercise without records has no score, and a problem for the course's author."""
    assert score() == ExerciseScore(
        points=28,
        score=None,
        outcome=X,
        problem="Exercise 'ring' has no test that the judge collected, so it cannot be scored. Run `grade check`.",
    )
