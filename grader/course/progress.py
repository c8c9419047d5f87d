"""What a student has done so far, kept in `out/progress.json`: outcomes of the last check, and how many hints were shown.

It decides nothing: a grade is what `grade run` finds. So a file that cannot be read counts as empty.
"""

import hashlib
from pathlib import Path

import msgspec

from grader.course.catalog import Chapter, Course, Exercise
from grader.course.score import ExerciseScore
from grader.harness.outcome import Outcome
from grader.harness.protocol.files import write_whole


class LastCheck(msgspec.Struct, frozen=True, kw_only=True):
    """How an exercise stood when it was checked last."""

    outcome: Outcome
    score: float | None
    """None if it could not be decided."""

    digest: str
    """The hash of the student's file at that time."""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file; keys are like `ch02_distributed_programming/ring_shift`."""

    checks: dict[str, LastCheck] = {}
    """The last check of each exercise that was checked."""

    hints_shown: dict[str, int] = {}
    """How many hints of each exercise were shown."""

    def last_check(self, chapter: Chapter, exercise: Exercise) -> LastCheck | None:
        """Return how the exercise stood at its last check, if there was one."""
        return self.checks.get(_key(chapter, exercise))

    def hints(self, chapter: Chapter, exercise: Exercise) -> int:
        """Return how many hints have been shown."""
        return self.hints_shown.get(_key(chapter, exercise), 0)

    def with_check(self, chapter: Chapter, exercise: Exercise, score: ExerciseScore) -> "Progress":
        """Return the progress after a check."""
        digest = _digest(chapter.folder / exercise.file)
        check = LastCheck(outcome=score.outcome, score=score.score, digest=digest)
        return msgspec.structs.replace(self, checks={**self.checks, _key(chapter, exercise): check})

    def with_hints(self, chapter: Chapter, exercise: Exercise, shown: int) -> "Progress":
        """Return the progress after `shown` hints have been shown."""
        return msgspec.structs.replace(self, hints_shown={**self.hints_shown, _key(chapter, exercise): shown})


def is_stale(check: LastCheck, chapter: Chapter, exercise: Exercise) -> bool:
    """Whether the student's file has changed since the check."""
    return check.digest != _digest(chapter.folder / exercise.file)


def read_progress(course: Course) -> Progress:
    """Return the progress so far."""
    try:
        return msgspec.json.decode(_path(course).read_bytes(), type=Progress)
    except (OSError, msgspec.MsgspecError):
        return Progress()


def write_progress(course: Course, progress: Progress) -> str:
    """Keep the progress; return why it could not be kept, as in a course that is read-only, or ""."""
    try:
        write_whole(_path(course), msgspec.json.format(msgspec.json.encode(progress), indent=2) + b"\n")
    except OSError as error:
        return f"This is not remembered for `course list`, because {_path(course)} cannot be written: {error.strerror}."
    return ""


def _path(course: Course) -> Path:
    return course.root / "out" / "progress.json"


def _key(chapter: Chapter, exercise: Exercise) -> str:
    return f"{chapter.id}/{exercise.id}"


def _digest(path: Path) -> str:
    """Return the hash of a file, or "" if it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
