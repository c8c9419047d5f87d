"""The result of one submission, as it is written to and read from JSON; every read is checked against this schema."""

from pathlib import Path
from typing import Any, Literal

import msgspec

from grader.batch.intake.listing import LeftOut, TakenFile
from grader.batch.source_reading import LineToRead
from grader.course.judging.report import Aspect
from grader.harness.mistake import Mistake
from grader.harness.outcome import Outcome
from grader.harness.protocol.files import write_whole
from grader.harness.protocol.wall import Wall

SCHEMA_VERSION = 1
ROUNDING = 0.05  # scores have one decimal

JudgeState = Literal["ended", "died", "cut", "not_run"]
"""How a chapter's judge ended: in order, by dying, by being cut at its time limit; or it had nothing to do."""


class _ResultStruct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of everything in a result file."""


class ResultOfTest(_ResultStruct, frozen=True):
    """One graded test."""

    test: str
    """pytest's node id."""

    claim: str
    aspect: Aspect
    hidden: bool
    outcome: Outcome
    explanation: str
    """Empty if the test passed. If the test is hidden, for staff only: it may hold the test's inputs, values and texts."""

    mistake: Mistake | None
    """The kind of mistake, for everybody; None if the test passed, or if it is not known how it ended."""

    world_sizes: tuple[int, ...]
    seconds: float

    @property
    def has_failed(self) -> bool:
        """Whether the code under test did not do what the test asks; it may have crashed, say."""
        return self.outcome not in {Outcome.PASSED, Outcome.NOT_GRADABLE, Outcome.NOT_RUN}

    @property
    def for_student(self) -> str:
        """What the student may read about how it ended, if it is the only hidden test of its exercise that is told.

        Student code runs inside hidden tests and can put what it finds there into any message. So of a hidden test the
        student reads no text that was made while it ran: the claim is the author's, the kind of mistake is from a closed list.
        """
        if not self.hidden or self.outcome in {Outcome.PASSED, Outcome.NOT_RUN}:
            return self.explanation
        if not self.has_failed:
            return "Hidden tests could not be decided on this machine."
        return f"A hidden test fails: {self.claim} Kind of mistake: {self.mistake}."


class ResultOfExercise(_ResultStruct, frozen=True):
    """One exercise: what it is worth, what was earned, and why not more."""

    exercise: str
    points: int
    score: float | None
    """None if this machine could not decide it: outcome `not_gradable`, neither zero nor full."""

    outcome: Outcome
    explanation: str
    """Why the exercise did not pass, for its student: a fault of the file, or what they may read of the deciding test.

    That is the first public test with the exercise's outcome or, if only hidden ones have it, the first hidden one that fails.
    """

    hidden_explanation: str
    """If a hidden test decided, its whole explanation, for staff only; otherwise empty."""

    caveat: str
    """What weakens the score; empty if the kernel counted the bytes that ranks sent each other."""

    world_sizes: tuple[int, ...]
    seconds: float
    tests: tuple[ResultOfTest, ...]

    def __post_init__(self) -> None:
        """Refuse what no grading writes."""
        if self.score is not None and not 0 <= self.score <= self.points:
            raise ValueError(f"exercise '{self.exercise}' has score {self.score:g} of {self.points}")
        if (self.score is None) != (self.outcome is Outcome.NOT_GRADABLE):
            raise ValueError(f"exercise '{self.exercise}' has score {self.score} and outcome '{self.outcome}'")


class ResultOfChapter(_ResultStruct, frozen=True):
    """One chapter of a submission."""

    chapter: str
    course_digest: str
    """Of the tests, programs and declarations that the chapter was graded with."""

    judge: JudgeState
    judge_exit_code: int | None
    judge_runs: int
    taken: tuple[TakenFile, ...]
    left_out: tuple[LeftOut, ...]
    """The first chapter also lists what lies next to the chapters."""

    points: int
    score: float
    exercises: tuple[ResultOfExercise, ...]
    to_read: tuple[LineToRead, ...] = ()
    """Lines of the files that do what no solution needs, for staff only. None of them cost a point."""

    found_in: str = ""
    """The path in the submission to the folder of the taken files; empty if they lie at its top."""

    def __post_init__(self) -> None:
        """Refuse totals that are not the sums of the exercises."""
        _check_totals(self.chapter, self.exercises, self.points, self.score)


class SubmissionResult(_ResultStruct, frozen=True):
    """One submission, whole."""

    schema_version: Literal[1]
    submission: str
    """The student's name, as the folder or the archive has it. The file's own name is made of it; see `intake/names.py`."""

    seed: int
    """The same for all submissions of a batch, so that all got the same inputs."""

    wall: Wall
    """The kind of sandbox; "none": the submission ran with the grader's rights."""

    points: int
    score: float
    undecided_points: int
    """The points of the exercises that this machine could not decide; they are in `points` and not in `score`."""

    seconds: float
    chapters: tuple[ResultOfChapter, ...]

    def __post_init__(self) -> None:
        """Refuse totals that are not the sums of the chapters."""
        _check_totals(self.submission, self.chapters, self.points, self.score)

    @property
    def all_passed(self) -> bool:
        """Whether every exercise passed."""
        return all(exercise.outcome is Outcome.PASSED for chapter in self.chapters for exercise in chapter.exercises)


def _check_totals(name: str, parts: tuple[ResultOfChapter | ResultOfExercise, ...], points: int, score: float) -> None:
    if points != sum(part.points for part in parts):
        raise ValueError(f"the points of '{name}' are not the sum of its parts")
    if abs(score - sum(part.score or 0.0 for part in parts)) > ROUNDING:
        raise ValueError(f"the score of '{name}' is not the sum of its parts")


class InvalidResultError(ValueError):
    """A result file does not hold what a grading writes."""


def read_result(path: Path) -> SubmissionResult:
    """Return the result in a file.

    Raises: InvalidResultError if it is not one of this schema; OSError if it cannot be read.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=SubmissionResult)
    except msgspec.MsgspecError as error:
        raise InvalidResultError(f"{path} is no result of schema version {SCHEMA_VERSION}: {error}.") from None


def write_result(result: SubmissionResult, path: Path) -> None:
    """Write a result; whenever this is interrupted, even by a power cut, the file is whole or as it was before."""
    write_whole(path, msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")


def write_schema(path: Path) -> None:
    """Write the JSON schema of result files."""
    schema: dict[str, Any] = msgspec.json.schema(SubmissionResult)
    write_whole(path, msgspec.json.format(msgspec.json.encode(schema), indent=2) + b"\n")
