"""Running the judge: one pytest process in the course's own tree, for one submission, within a time limit.

Callers that must be tested without it (`grade check`) take a `Judge`, a callable; `SubprocessJudge` is the real one.
It can be watched while it runs, and all judges of a command can be ended at once from another thread or a signal handler.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec

from course_env.errors import CourseError, LaunchError
from grader.course.catalog import Course, Selected
from grader.course.judging.record import Record, read_report
from grader.harness.protocol.wall import Wall

SEED_VARIABLE = "COURSE_SEED"
"""Tells the judge its seed: an argument would show in the machine's process list."""

POLL_S = 0.1
GRACE_S = 5.0
TAIL_LINES = 20

Watch = Callable[[int, int], None]
"""Called with the number of tests that have finished, and of all tests."""


class Judge(Protocol):
    """Grades a submission; returns one record for each test of the exercises in `selected`, hidden tests included."""

    def __call__(
        self, submission: Path, selected: Sequence[Selected], *, first_failure_only: bool = False
    ) -> list[Record]:
        """Grade the files `submission/<chapter id>/<file>`; `first_failure_only` leaves the tests after it unfinished."""


class StoppedError(CourseError):
    """The judges were told to end before this one was done."""


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


class JudgeProcess(Protocol):
    """A judge at work. `returncode`: how it ended, if it has."""

    returncode: int | None

    def wait(self, timeout: float) -> int:
        """Return how it ended; raise subprocess.TimeoutExpired if it does not in time."""


class RunningJudges:
    """The judges of one command, in whatever thread each was started."""

    def __init__(self) -> None:
        self._processes: set[subprocess.Popen[bytes]] = set()
        # Re-entrant, because a signal handler may call stop() in the very thread that is in start().
        self._lock = threading.RLock()
        self._stopped = False

    @property
    def stopped(self) -> bool:
        """Whether stop() was called."""
        return self._stopped

    @contextmanager
    def start(
        self, arguments: Sequence[str], *, cwd: Path, log: Path, settings: Mapping[str, str]
    ) -> Iterator[JudgeProcess]:
        """Run pytest with `settings` in its environment; when the block is left, it and all it started have ended.

        Raises: StoppedError if stop() was called.
        """
        with log.open("wb") as output, self._lock:
            if self._stopped:
                raise StoppedError("Stopped.")
            process = subprocess.Popen(
                [sys.executable, "-m", "pytest", *arguments],
                cwd=cwd,
                env={**judge_environment(), **settings},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches this program alone, which ends its judges in order
            )
            self._processes.add(process)
        try:
            yield process
        finally:
            end_session(process)
            with self._lock:
                self._processes.discard(process)

    def stop(self) -> None:
        """Tell every judge to end, and let no other start; the threads that wait for them see to the rest."""
        with self._lock:
            self._stopped = True
            for process in self._processes:
                _signal(process, signal.SIGTERM)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubprocessJudge:
    """The judge as a process of its own, which ends with all it started when its time is up."""

    course: Course
    wall: Wall
    """What the submission's ranks run behind."""

    seed: int | None = None
    """What the inputs are drawn from; None: something fresh."""

    time_limit_s: float = 600.0
    options: tuple[str, ...] = ()
    """More arguments for pytest, like `-n2`."""

    public_only: bool = False
    """Leave hidden tests out even where the course has them."""

    judges: RunningJudges = field(default_factory=RunningJudges)
    """Whoever may stop this judge holds the same."""

    watch: Watch = lambda _finished, _all: None
    ends: list[JudgeEnd] = field(default_factory=list)
    """One for each run, in their order; the only part of this value that changes."""

    def __call__(
        self, submission: Path, selected: Sequence[Selected], *, first_failure_only: bool = False
    ) -> list[Record]:
        """Return the judge's records.

        Raises: LaunchError, with the end of its output, if the judge did not get as far as collecting tests;
            StoppedError if its `judges` were told to stop.
        """
        with tempfile.TemporaryDirectory(prefix="judge-") as scratch:
            report, log = Path(scratch, "report.jsonl"), Path(scratch, "output.txt")
            arguments = self._arguments(submission, selected, report)
            end = self._run([*arguments, "--maxfail=1"] if first_failure_only else arguments, report, log)
            self.ends.append(end)
            try:
                # Never empty: it marks each test that has no evidence, even if the exit code claims that all is well.
                return read_report(report, trouble=str(end))
            except LaunchError as error:
                raise LaunchError(f"{error} Its last lines:\n{end.tail}") from None

    def _arguments(self, submission: Path, selected: Sequence[Selected], report: Path) -> list[str]:
        root = self.course.root
        arguments = ["-c", str(root / "pyproject.toml"), "--rootdir", str(root)]
        arguments += ["-p", "no:cacheprovider", "--wall", self.wall, "--submission", str(submission)]
        arguments += ["--report", str(report), *self.options]
        for chapter, exercise in selected:
            arguments += ["--exercise", f"{chapter.short}/{exercise.id}"]
        sides = [
            (chapter.folder,) if self.public_only else (chapter.folder, chapter.solution) for chapter, _ in selected
        ]
        folders = dict.fromkeys(folder for side in sides for folder in side)
        return [*arguments, *(str(folder) for folder in folders if folder.is_dir())]

    def _run(self, arguments: Sequence[str], report: Path, log: Path) -> JudgeEnd:
        deadline = time.monotonic() + self.time_limit_s
        settings = {} if self.seed is None else {SEED_VARIABLE: str(self.seed)}
        with self.judges.start(arguments, cwd=self.course.root, log=log, settings=settings) as process:
            cut = not self._wait(process, report, deadline)
        if self.judges.stopped:
            raise StoppedError("Stopped.")
        exit_code = -signal.SIGKILL if process.returncode is None else process.returncode
        return JudgeEnd(exit_code=exit_code, cut_after_s=self.time_limit_s if cut else None, tail=_tail(log))

    def _wait(self, process: JudgeProcess, report: Path, deadline: float) -> bool:
        """Wait for the judge, telling how far it is; return whether it ended before its deadline."""
        told = (0, 0)
        while time.monotonic() < deadline:
            try:
                process.wait(POLL_S)
            except subprocess.TimeoutExpired:
                if self.judges.stopped:
                    return True
                if (now := _count(report)) != told:
                    told = now
                    self.watch(*now)
            else:
                return True
        return False


def judge_environment() -> dict[str, str]:
    """Return what a judge sees of this process's environment."""
    return {name: value for name, value in os.environ.items() if not _is_outer_setting(name)}


def _is_outer_setting(name: str) -> bool:
    """Whether a variable is of a pytest around the judge, as in our own tests, or of a CI around both.

    Where pytest sees a CI it shows differences in full length: what a student reads would differ from machine to
    machine, and a difference between two huge values can take a minute to form.
    """
    return name.startswith("PYTEST_") or name in {"CI", "BUILD_NUMBER"}


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def end_session(process: subprocess.Popen[bytes]) -> None:
    """End a judge's whole session, politely and then for good; what has ended already is left in peace."""
    if process.poll() is None:
        _signal(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
    if process.poll() is None:
        _signal(process, signal.SIGKILL)
        process.wait()


def _count(report: Path) -> tuple[int, int]:
    """Return how many tests of a growing report have finished, and how many there are."""
    lines = report.read_bytes().splitlines() if report.exists() else []
    if not lines:
        return 0, 0
    try:
        first = msgspec.json.decode(lines[0])
        return len(lines) - 1, len(first["tests"])
    except (msgspec.MsgspecError, KeyError, TypeError):
        return 0, 0  # only the first half of the line is there yet


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-TAIL_LINES:])
