"""Where `grade run` runs its judges: on this machine, or in jobs on a cluster."""

from argparse import Namespace
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console
from rich.prompt import Prompt

from course_env.errors import UsageError
from grader.batch.batch import Batch
from grader.batch.intake.find import Submission
from grader.batch.workers import Graded, default_workers, grade_all
from grader.cli.command import counted
from grader.cli.whereabouts import require_utf8
from grader.cluster.dispatch import cancel, grade_all_on
from grader.cluster.rounds import BatchProgress
from grader.cluster.site import Site
from slurm.executors import executor_on


class Display(Protocol):
    """What a person sees of a batch under way."""

    def tell(self, submission: Submission, fraction: float) -> None:
        """Show that this much of a submission is done."""

    def tell_jobs(self, progress: BatchProgress) -> None:
        """Show how many items are done, and what the queue holds."""


class Venue(Protocol):
    """Where a batch is graded."""

    @property
    def description(self) -> str:
        """The venue as the first line of output names it."""

    def grade(self, display: Display) -> Generator[Graded, None, None]:
        """Yield each submission as its result is recorded."""

    def end(self, console: Console) -> str:
        """Clean up after Ctrl-C; return what has become of the work under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnThisMachine:
    """Judges are processes of this command."""

    submissions: Sequence[Submission]
    batch: Batch
    workers: int
    """How many judges run at a time."""

    resume: bool
    """Keep results whose files and tests have not changed."""

    @property
    def description(self) -> str:
        """How many judges run at a time."""
        return counted(self.workers, "worker")

    def grade(self, display: Display) -> Generator[Graded, None, None]:
        """Yield each submission as its result is recorded."""
        return grade_all(self.submissions, self.batch, workers=self.workers, resume=self.resume, tell=display.tell)

    def end(self, _console: Console) -> str:
        """Do nothing: the judges have been ended."""
        return "all judges have ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class InJobs:
    """Judges are in jobs, which do not end with this command."""

    site: Site
    submissions: Sequence[Submission]
    batch: Batch
    resume: bool
    """Keep results whose files and tests have not changed."""

    @property
    def description(self) -> str:
        """How many jobs run at a time, and where."""
        return f"at most {counted(self.site.max_jobs, 'job')} at a time on {self.site.name}"

    def grade(self, display: Display) -> Generator[Graded, None, None]:
        """Yield each submission as its result is recorded."""
        return grade_all_on(self.site, self.submissions, self.batch, resume=self.resume, tell=display.tell_jobs)

    def end(self, console: Console) -> str:
        """Ask whether to leave or cancel the jobs; leave them if nobody can answer. Jobs on this machine end with the command."""
        if not self.site.executor.outlives_us:
            cancel(self.site.executor, self.batch)
            self.site.executor.close()
            return "all jobs have ended"
        if _asked_for(console) == "leave":
            return "the jobs go on"
        cancel(self.site.executor, self.batch)
        return "the jobs are cancelled"


def _asked_for(console: Console) -> str:
    question = "The jobs go on without this command. Leave them, or cancel them?"
    try:
        if console.is_terminal:
            return Prompt.ask(question, console=console, choices=["leave", "cancel"], default="leave")
    except (OSError, EOFError, KeyboardInterrupt):  # the terminal was closed, or Ctrl-C came again
        pass
    return "leave"


def venue_for(options: Namespace, submissions: Sequence[Submission], batch: Batch) -> Venue:
    """Return the venue that the options ask for.

    Raises: UsageError for an unknown profile, or --spread without --on; ExecutorError where Slurm is missing.
    """
    if options.on is None:
        if options.spread:
            raise UsageError("--spread is about the tasks of a job: add --on PROFILE, or leave it out.")
        workers = min(options.workers or default_workers(), len(submissions))
        return OnThisMachine(submissions=submissions, batch=batch, workers=workers, resume=options.resume)
    require_utf8([batch.course.root, batch.out])
    executor, profile = executor_on(options.on, batch.job_logs, spread=options.spread)
    max_jobs = options.max_jobs if executor.outlives_us else min(options.max_jobs, default_workers())
    site = Site(name=options.on, executor=executor, profile=profile, max_jobs=max_jobs, spread=options.spread)
    return InJobs(site=site, submissions=submissions, batch=batch, resume=options.resume)
