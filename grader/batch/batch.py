"""What all submissions of one `grade run` have in common."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from grader.batch.digest import course_digest
from grader.batch.intake.find import Submission
from grader.course.catalog import Chapter, Course
from grader.course.judging.own_time import OWN_TIME_S
from grader.course.judging.running_judges import RunningJudges
from grader.course.judging.warm_judges import WarmJudges
from grader.harness.protocol.wall import Wall

JUDGE_LIMIT_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One grading of any number of submissions."""

    course: Course
    chapters: tuple[Chapter, ...]
    """Those to grade; each counts, even if it was not handed in."""

    seed: int
    wall: Wall
    """The kind of sandbox that every submission runs in."""

    out: Path
    """The folder that everything is written to."""

    digests: Mapping[str, str]
    """Of the files that each chapter is graded with, by chapter id."""

    running_judges: RunningJudges
    """The processes that this process has started, so that they can be ended."""

    agents: Path | None = None
    """The folder in which the agents of a job find each other, if ranks are spread over its tasks."""

    all_tests: bool = False
    """Run tests even where others have decided the score: all that follow a failure of their aspect."""

    judge_limit_s: float = JUDGE_LIMIT_S
    """How long a judge may run. Every launch has its own deadline; this one is for a judge that is itself at fault."""

    own_time_s: float = OWN_TIME_S
    """How long a judge may compute for one test, in processor time."""

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
        """The folder of the desks that batches share with their jobs, if they are graded in jobs."""
        return self.out / "jobs"

    @property
    def job_logs(self) -> Path:
        """The folder of what its jobs print."""
        return self.out / "job_logs"

    def feedback_path(self, submission: Submission) -> Path:
        """Return the file of a submission's feedback, which is what the student may read of the result."""
        return self.out / "feedback" / f"{submission.name}.md"

    def result_path(self, submission: Submission) -> Path:
        """Return the file of a submission's result."""
        return self.results / f"{submission.name}.json"


def plan_batch(
    course: Course,
    chapters: tuple[Chapter, ...],
    *,
    seed: int,
    wall: Wall,
    out: Path,
    agents: Path | None = None,
    all_tests: bool = False,
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
        # The agents of a job have zygotes of their own, which no judge can lend.
        running_judges=RunningJudges() if agents is not None else WarmJudges(course.root, wall, shared=False),
        agents=agents,
        all_tests=all_tests,
    )
