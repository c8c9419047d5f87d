"""What all submissions of one `grade run` have in common."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from grader.batch.digest import course_digest
from grader.batch.intake.find import Submission
from grader.course.catalog import Chapter, Course
from grader.course.judging.judge_process import RunningJudges
from grader.harness.protocol.wall import Wall

JUDGE_LIMIT_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One grading of any number of submissions."""

    course: Course
    chapters: tuple[Chapter, ...]
    """The ones to grade; each counts, whether it was handed in or not."""

    seed: int
    wall: Wall
    """What every submission runs behind."""

    out: Path
    digests: Mapping[str, str]
    """Of what each chapter grades with, by chapter id."""

    judges: RunningJudges
    agents: Path | None = None
    """Where the agents meet that run the ranks, if those are spread over the tasks of a job."""

    judge_limit_s: float = JUDGE_LIMIT_S
    """Every launch has its own deadline; this is the belt round a judge that is itself at fault."""

    @property
    def results(self) -> Path:
        """The folder of the result files."""
        return self.out / "results"

    @property
    def schema(self) -> Path:
        """The file with the JSON schema of the result files."""
        return self.out / "results.schema.json"

    @property
    def desk(self) -> Path:
        """The folder that the batch shares with its jobs, if it is dispatched."""
        return self.out / "jobs"

    @property
    def job_logs(self) -> Path:
        """The folder of what those jobs print."""
        return self.out / "job_logs"

    def feedback_path(self, submission: Submission) -> Path:
        """Return where that part of a submission's result is kept which the student may read."""
        return self.out / "feedback" / f"{submission.name}.md"

    def result_path(self, submission: Submission) -> Path:
        """Return where the result of a submission is kept."""
        return self.results / f"{submission.name}.json"


def plan_batch(
    course: Course, chapters: tuple[Chapter, ...], *, seed: int, wall: Wall, out: Path, agents: Path | None = None
) -> Batch:
    """Return a batch that has not begun, with digests of the course as it is now."""
    digests = {chapter.id: course_digest(chapter) for chapter in chapters}
    return Batch(
        course=course,
        chapters=chapters,
        seed=seed,
        wall=wall,
        out=out,
        digests=digests,
        judges=RunningJudges(),
        agents=agents,
    )
