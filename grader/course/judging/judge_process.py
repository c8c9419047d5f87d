"""Running the judge: one pytest process in the course's own tree, for one submission, within a time limit.

`SubprocessJudge` is the real judge, and can be watched while it runs. `grade check` takes any `Judge`, a callable, so that its
tests need no process.
"""

import contextlib
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from course_env.errors import LaunchError
from grader.course.catalog import Chapter, Course, Selected
from grader.course.content.graded_tests import hidden_test_files, public_test_files
from grader.course.judging.report import Record, count_tests, read_report
from grader.course.judging.running_judges import JudgeProcess, RunningJudges, StoppedError
from grader.harness.protocol.wall import Wall

SEED_VARIABLE = "COURSE_SEED"
"""The environment variable with the judge's seed: an argument would show in the machine's process list."""

_ONLY_THE_COURSE = (
    *("-p", "no:cacheprovider", "--noconftest", "--override-ini", "pythonpath="),
    *("--disable-plugin-autoload", "-p", "grader.judge.plugin"),
)
"""pytest's options that leave out what the course did not bring: conftest.py files, and plugins that are installed by chance.

The course's root is the last place where modules are looked for, not the first: a student's random.py may lie there.
"""

POLL_S = 0.1
TAIL_LINES = 20

Watch = Callable[[int, int], None]
"""Called with the number of tests that have finished, and of all tests."""


class Judge(Protocol):
    """Grades a submission; returns one record for each test of the exercises in `selected`, hidden tests included."""

    def __call__(
        self, submission: Path, selected: Sequence[Selected], *, first_failure_only: bool = False
    ) -> list[Record]:
        """Grade the files `submission/<chapter id>/<file>`; `first_failure_only` leaves the tests after it unfinished."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeEnd:
    """How a judge's process ended."""

    exit_code: int
    """pytest's, or minus the signal that ended it."""

    cut_after_s: float | None
    """Its time limit, if it ran into it."""

    tail: str
    """The last lines it printed."""

    @property
    def cut(self) -> bool:
        """Whether it ran into its time limit."""
        return self.cut_after_s is not None

    @property
    def in_order(self) -> bool:
        """Whether it came to its end by itself, with all tests run."""
        return not self.cut and self.exit_code in {0, 1}

    def __str__(self) -> str:
        """Return how it ended, for a person, without what it printed."""
        if self.cut:
            return f"The judge was ended at its limit of {self.cut_after_s:g} s."
        if self.exit_code < 0:
            with contextlib.suppress(ValueError):
                return f"The judge was ended by signal {signal.Signals(-self.exit_code).name}."
        return f"The judge ended with exit code {self.exit_code}."


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeRun:
    """What one run of a judge has seen."""

    records: tuple[Record, ...]
    """One for each test that it collected."""

    end: JudgeEnd
    """How its process ended."""

    problem: str = ""
    """Why there is no record: the judge did not get as far as collecting its tests, or its report cannot be trusted."""

    @property
    def is_whole(self) -> bool:
        """Whether the judge came to its end and saw each of its tests end."""
        return self.end.in_order and bool(self.records) and all(record.finished for record in self.records)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubprocessJudge:
    """The judge as a separate process; when its time is up, it ends with everything that it started."""

    course: Course
    wall: Wall
    """What the submission's ranks run behind."""

    seed: int | None = None
    """What the inputs are drawn from; None: something fresh."""

    time_limit_s: float = 600.0
    """A run that takes longer is ended."""

    options: tuple[str, ...] = ()
    """More arguments for pytest, like `--maxfail=1`."""

    public_only: bool = False
    """Leave hidden tests out even where the course has them."""

    judges: RunningJudges = field(default_factory=RunningJudges)
    """The judges that are stopped together with this one."""

    watch: Watch = lambda _finished, _all: None
    """Called when another test has finished."""

    def __call__(
        self, submission: Path, selected: Sequence[Selected], *, first_failure_only: bool = False
    ) -> list[Record]:
        """Return the judge's records.

        Raises: LaunchError, with the end of its output, if the judge did not get as far as collecting tests;
            StoppedError if its `judges` were stopped.
        """
        run = self.run(submission, selected, first_failure_only=first_failure_only)
        if run.problem:
            raise LaunchError(run.problem)
        return list(run.records)

    def run(self, submission: Path, selected: Sequence[Selected], *, first_failure_only: bool = False) -> JudgeRun:
        """Return the judge's records, and how it ended.

        Raises: StoppedError if its `judges` were stopped.
        """
        with tempfile.TemporaryDirectory(prefix="judge-") as scratch:
            report, log = Path(scratch, "report.jsonl"), Path(scratch, "output.txt")
            arguments = self._arguments(submission, selected, report)
            end = self._run_pytest([*arguments, "--maxfail=1"] if first_failure_only else arguments, report, log)
            try:
                return JudgeRun(records=tuple(read_report(report, trouble=str(end))), end=end)
            except LaunchError as error:
                return JudgeRun(records=(), end=end, problem=f"{error} Its last lines:\n{end.tail}")

    def _arguments(self, submission: Path, selected: Sequence[Selected], report: Path) -> list[str]:
        root = self.course.root
        # Relative to the root, where a judge starts: pytest looks for variables, brackets and colons in paths.
        arguments = ["-c", "pyproject.toml", "--rootdir", "."]
        arguments += [*_ONLY_THE_COURSE, "--wall", self.wall, "--submission", str(submission)]
        arguments += ["--report", str(report), *self.options]
        for chapter, exercise in selected:
            arguments += ["--exercise", f"{chapter.short}/{exercise.id}"]
        chapters = dict.fromkeys(chapter for chapter, _ in selected)
        files = [file for chapter in chapters for file in self._test_files(chapter)]
        return [*arguments, *(str(file.relative_to(root)) for file in files)]

    def _test_files(self, chapter: Chapter) -> list[Path]:
        hidden = [] if self.public_only else hidden_test_files(chapter)
        # Without any test pytest looks through the folder, and reports that it found none.
        return [*public_test_files(chapter), *hidden] or [chapter.folder]

    def _run_pytest(self, arguments: Sequence[str], report: Path, log: Path) -> JudgeEnd:
        deadline = time.monotonic() + self.time_limit_s
        settings = {} if self.seed is None else {SEED_VARIABLE: str(self.seed)}
        with self.judges.start(arguments, cwd=self.course.root, log=log, settings=settings) as process:
            cut = not self._wait(process, report, deadline)
        if self.judges.stopped:
            raise StoppedError("Stopped.")
        exit_code = -signal.SIGKILL if process.returncode is None else process.returncode
        return JudgeEnd(exit_code=exit_code, cut_after_s=self.time_limit_s if cut else None, tail=_tail(log))

    def _wait(self, process: JudgeProcess, report: Path, deadline: float) -> bool:
        """Wait for the judge and report its progress; return whether it ended before its deadline."""
        progress = (0, 0)
        while time.monotonic() < deadline:
            try:
                process.wait(POLL_S)
            except subprocess.TimeoutExpired:
                if self.judges.stopped:
                    return True
                if (now := _count(report)) != progress:
                    progress = now
                    self.watch(*now)
            else:
                return True
        return False


def _count(report: Path) -> tuple[int, int]:
    """Return how many tests of a growing report have finished, and how many there are."""
    return count_tests(report.read_bytes() if report.exists() else b"")


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-TAIL_LINES:])
