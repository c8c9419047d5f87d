"""Running the judge: one pytest process in the course's own tree, for one submission, within a time limit.

What comes back from ranks can keep a judge computing. That is the submission's doing: the judge is ended, the test has failed,
and another judge goes on with the tests after it.

`SubprocessJudge` is the real judge, and can be watched while it runs. `grade check` takes any `Judge`, a callable, so that its
tests need no process.
"""

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from course_env.errors import LaunchError
from grader.course.catalog import Chapter, Course, Selected
from grader.course.content.graded_tests import hidden_test_files, public_test_files
from grader.course.judging.own_time import OWN_TIME_S, OwnTime
from grader.course.judging.report import JudgeProgress, Record, ReportFollower, read_report
from grader.course.judging.running_judges import JudgeProcess, RunningJudges, StoppedError
from grader.harness.mistake import Mistake
from grader.harness.outcome import Outcome
from grader.harness.protocol.held_folder import held_folder
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
TESTS_FAILED = 1  # pytest's exit code
MAX_TURNS = 3
"""Judges that are started one after the other, each because a test has kept the one before it computing."""

Watch = Callable[[int, int], None]
"""Called with the number of tests that have finished, and of all tests."""


class Judge(Protocol):
    """Grades a submission; returns one record for each test of the exercises in `selected`, hidden tests included."""

    def __call__(
        self,
        submission: Path,
        selected: Sequence[Selected],
        *,
        first_failure_only: bool = False,
        keep: Path | None = None,
        forge: Path | None = None,
    ) -> list[Record]:
        """Grade the files `submission/<chapter id>/<file>`; `first_failure_only` leaves the tests after it unfinished.

        `keep` is a file for what the ranks say of themselves. With `forge`, they say what such a file holds, and no class
        is refused to them.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeEnd:
    """How a judge's process ended."""

    exit_code: int
    """pytest's, or minus the signal that ended it; TESTS_FAILED if it was ended for what a submission returned."""

    cut_after_s: float | None
    """Its time limit, if it ran into it."""

    tail: str
    """The last lines it printed."""

    held_by: str | None = None
    """The test for which it computed too long, if it was ended for that."""

    @property
    def cut(self) -> bool:
        """Whether it ran into its time limit."""
        return self.cut_after_s is not None

    @property
    def in_order(self) -> bool:
        """Whether its tests were run to the end, or as far as what a submission returned let them."""
        return not self.cut and self.exit_code in {0, TESTS_FAILED}

    def __str__(self) -> str:
        """Return how it ended, for a person, without what it printed."""
        if self.cut:
            return f"The judge was ended at its limit of {self.cut_after_s:g} s."
        if self.held_by is not None:
            return f"The judge was ended because {self.held_by} kept it computing."
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
    """How its process ended, the last one if there were several."""

    problem: str = ""
    """Why records are missing: the judge did not get as far as collecting its tests, or its report cannot be trusted."""

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

    own_time_s: float = OWN_TIME_S
    """How long the judge itself may compute for one test, in processor time."""

    options: tuple[str, ...] = ()
    """More arguments for pytest, like `--maxfail=1`."""

    public_only: bool = False
    """Leave hidden tests out even where the course has them."""

    judges: RunningJudges = field(default_factory=RunningJudges)
    """The judges that are stopped together with this one."""

    watch: Watch = lambda _finished, _all: None
    """Called when another test has finished."""

    def __call__(
        self,
        submission: Path,
        selected: Sequence[Selected],
        *,
        first_failure_only: bool = False,
        keep: Path | None = None,
        forge: Path | None = None,
    ) -> list[Record]:
        """Return the judge's records.

        Raises: LaunchError, with the end of its output, if the judge did not get as far as collecting tests;
            StoppedError if its `judges` were stopped.
        """
        options = [f"--testimony={keep}"] if keep else []
        options += [f"--forge={forge}"] if forge else []
        run = self.run(submission, selected, options, first_failure_only=first_failure_only)
        if run.problem:
            raise LaunchError(run.problem)
        return list(run.records)

    def run(
        self,
        submission: Path,
        selected: Sequence[Selected],
        options: Sequence[str] = (),
        *,
        first_failure_only: bool = False,
    ) -> JudgeRun:
        """Return the judge's records, and how it ended. `options` are more arguments for pytest, for this run.

        Raises: StoppedError if its `judges` were stopped.
        """
        deadline = time.monotonic() + self.time_limit_s
        with held_folder("judge") as scratch:
            options = [*options, "--maxfail=1"] if first_failure_only else options
            turn = partial(self._turn, submission, selected, scratch, deadline, options)
            run = turn()
            turns = 1
            while _was_held(run) and turns < MAX_TURNS and not first_failure_only:
                run = turn(before=run)
                turns += 1
        is_over = _was_held(run) or (run.end.cut and turns > 1)
        return _given_up(run) if is_over and not first_failure_only else run

    def _turn(
        self,
        submission: Path,
        selected: Sequence[Selected],
        scratch: Path,
        deadline: float,
        options: Sequence[str],
        *,
        before: JudgeRun | None = None,
    ) -> JudgeRun:
        """Have one judge run the tests that judges before it have left; return what is known then."""
        report, log, done = (scratch / name for name in ("report.jsonl", "output.txt", "done.json"))
        report.unlink(missing_ok=True)
        arguments = [*self._arguments(submission, selected, report), *options]
        finished = [] if before is None else [record.test for record in before.records if record.finished]
        if finished:
            done.write_bytes(msgspec.json.encode(finished))
            arguments = ["--without", str(done), *arguments]
        end = self._run_pytest(arguments, submission, report, log, deadline, num_done=len(finished))
        return _gone_on(before, report, end, self.own_time_s)

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

    def _run_pytest(
        self, arguments: Sequence[str], submission: Path, report: Path, log: Path, deadline: float, *, num_done: int
    ) -> JudgeEnd:
        settings = {} if self.seed is None else {SEED_VARIABLE: str(self.seed)}
        started = self.judges.start(arguments, submission=submission, cwd=self.course.root, log=log, settings=settings)
        with started as process:
            why = self._wait(process, report, deadline, num_done)
        if self.judges.stopped:
            raise StoppedError("Stopped.")
        if why.held_by is not None:
            return JudgeEnd(exit_code=TESTS_FAILED, cut_after_s=None, tail=_tail(log), held_by=why.held_by)
        exit_code = -signal.SIGKILL if process.returncode is None else process.returncode
        return JudgeEnd(exit_code=exit_code, cut_after_s=self.time_limit_s if why.is_late else None, tail=_tail(log))

    def _wait(self, process: JudgeProcess, report: Path, deadline: float, num_done: int) -> "_WhyNoLonger":
        """Wait for the judge and report its progress; return why nobody waits any longer."""
        follower, own_time, told = ReportFollower(report), OwnTime(process.pid), JudgeProgress()
        while time.monotonic() < deadline:
            try:
                process.wait(POLL_S)
            except subprocess.TimeoutExpired:
                if self.judges.stopped:
                    return _WhyNoLonger()
                progress = follower.progress()
                if own_time.of_running_test(progress) > self.own_time_s:
                    return _WhyNoLonger(held_by=progress.running)
                if (progress.done, progress.every) != (told.done, told.every):
                    told = progress
                    self.watch(num_done + progress.done, num_done + progress.every)
            else:
                return _WhyNoLonger()
        return _WhyNoLonger(is_late=True)


class _WhyNoLonger(NamedTuple):
    """Why a judge is not waited for any longer; by default because it has ended, or must."""

    is_late: bool = False
    held_by: str | None = None


def _was_held(run: JudgeRun) -> bool:
    """Return whether the last judge was ended for what a submission returned, and has left tests."""
    return run.end.held_by is not None and not run.problem and not run.is_whole


def _gone_on(before: JudgeRun | None, report: Path, end: JudgeEnd, own_time_s: float) -> JudgeRun:
    """Return what is known after another judge has run the tests that were left."""
    records = {} if before is None else {record.test: record for record in before.records}
    try:
        records |= {record.test: record for record in read_report(report, trouble=str(end))}
    except LaunchError as error:
        return JudgeRun(records=tuple(records.values()), end=end, problem=f"{error} Its last lines:\n{end.tail}")
    if end.held_by is not None and not records[end.held_by].finished:
        text = (
            f"The judge computed for more than {own_time_s:g} s with what was returned here, and was ended. "
            "Return only what is asked for: fewer values, smaller numbers, shorter texts."
        )
        records[end.held_by] = _lost(records[end.held_by], text)
    if before is not None and end.exit_code == 0:
        end = replace(end, exit_code=TESTS_FAILED)
    return JudgeRun(records=tuple(records.values()), end=end)


def _given_up(run: JudgeRun) -> JudgeRun:
    """Return a run whose tests that are left are not run any more, because of those that kept judges computing."""
    text = "Not run: what was returned in tests before this one kept the judge computing for too long."
    records = tuple(record if record.finished else _lost(record, text) for record in run.records)
    return JudgeRun(records=records, end=replace(run.end, exit_code=TESTS_FAILED, cut_after_s=None))


def _lost(record: Record, explanation: str) -> Record:
    """Return the record of a test that the submission has lost, though no judge saw it end."""
    return msgspec.structs.replace(
        record, finished=True, outcome=Outcome.TIMED_OUT, mistake=Mistake.HOLDS_JUDGE, explanation=explanation
    )


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-TAIL_LINES:])
