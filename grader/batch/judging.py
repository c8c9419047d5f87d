"""Judges that can be watched while they run, and ended all at once from another thread or a signal handler."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import msgspec

from course_env.errors import CourseError
from grader.course.catalog import Selected
from grader.course.judge import SubprocessJudge
from grader.course.record import Record
from grader.harness.outcome import Outcome

POLL_S = 0.1
GRACE_S = 5.0
TAIL_LINES = 20

Watch = Callable[[int, int], None]
"""Called with the number of tests that have finished, and of all tests."""


class StoppedError(CourseError):
    """The judges were told to end before this one was done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeEnd:
    """How a judge's process ended."""

    exit_code: int
    """pytest's, or minus the signal that ended it."""

    cut: bool
    """Whether it ran into its time limit."""

    tail: str
    """The last lines it printed."""

    @property
    def in_order(self) -> bool:
        """Whether it came to its end by itself, with all tests run."""
        return not self.cut and self.exit_code in {0, 1}

    def __str__(self) -> str:
        """Return how it ended, for a person, without what it printed."""
        if self.cut:
            return "The judge was ended at its time limit."
        if self.exit_code < 0:
            with contextlib.suppress(ValueError):
                return f"The judge was ended by signal {signal.Signals(-self.exit_code).name}."
        return f"The judge ended with exit code {self.exit_code}."


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
    def start(self, command: Sequence[str], *, cwd: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
        """Run a judge; when the block is left, it has ended, and all it started with it.

        Raises: StoppedError if stop() was called.
        """
        # Settings of a pytest around this one, as in our own tests, stay outside.
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
        with log.open("wb") as output, self._lock:
            if self._stopped:
                raise StoppedError("Stopped.")
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches this program alone, which ends its judges in order
            )
            self._processes.add(process)
        try:
            yield process
        finally:
            _end(process)
            with self._lock:
                self._processes.discard(process)

    def stop(self) -> None:
        """Tell every judge to end, and let no other start; the threads that wait for them see to the rest."""
        with self._lock:
            self._stopped = True
            for process in self._processes:
                _signal(process, signal.SIGTERM)


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedJudge(SubprocessJudge):
    """A judge that tells how far it is and how it ended."""

    judges: RunningJudges
    watch: Watch = lambda _finished, _all: None
    public_only: bool = False
    """Leave hidden tests out even where the course has them."""

    ends: list[JudgeEnd] = field(default_factory=list)
    """One for each run, in their order; the only part of this value that changes."""

    def _command(self, submission: Path, selected: Sequence[Selected], report: Path) -> list[str]:
        command = SubprocessJudge._command(self, submission, selected, report)  # noqa: SLF001 - our own base's
        hidden = {str(chapter.solution) for chapter, _ in selected} if self.public_only else set()
        return [part for part in command if part not in hidden]

    def _run(self, command: Sequence[str], log: Path) -> str:
        report = Path(command[command.index("--report") + 1])
        deadline = time.monotonic() + self.time_limit_s
        with self.judges.start(command, cwd=self.course.root, log=log) as process:
            cut = not self._wait(process, report, deadline)
        if self.judges.stopped:
            raise StoppedError("Stopped.")
        end = JudgeEnd(exit_code=process.returncode, cut=cut, tail=_tail(log))
        self.ends.append(end)
        # Never empty: it marks each test that has no evidence, even if the exit code claims that all is well.
        return str(end)

    def _wait(self, process: subprocess.Popen[bytes], report: Path, deadline: float) -> bool:
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


def without_evidence(records: Sequence[Record], end: JudgeEnd) -> list[Record]:
    """Return the records of tests that were collected, and of which the judge then wrote nothing."""
    return [
        record for record in records if record.outcome is Outcome.NOT_GRADABLE and record.explanation.endswith(str(end))
    ]


@contextmanager
def stopped_by_signals(judges: RunningJudges) -> Iterator[None]:
    """End all judges on Ctrl-C, on SIGTERM and when the terminal closes, and raise KeyboardInterrupt."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        judges.stop()
        raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _end(process: subprocess.Popen[bytes]) -> None:
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
