"""The judges of one command: each is a process in a separate session, and all of them can be ended at once."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Protocol

from course_env.errors import CourseError
from grader.course.judging.lifeline import Lifeline
from grader.harness.launch.zygote_handle import MEMORY_FOLDER
from grader.harness.protocol.held_folder import remove_left_folders
from grader.harness.sandbox.cgroup import remove_left_groups

PYTHON_OF_JUDGES = (sys.executable, "-I", "-X", "utf8")
"""Python as judges run it: the shell's settings of Python, PYTHONOPTIMIZE above all, and the folder they start in change nothing."""

GRACE_S = 5.0
"""How long a judge that was told to end may take, before it is killed."""


class StoppedError(CourseError):
    """The judges were stopped before this one was done."""


class JudgeProcess(Protocol):
    """A judge that runs or has ended."""

    pid: int
    returncode: int | None
    """pytest's exit code, or minus the signal that ended it; None while it runs."""

    def wait(self, timeout: float) -> int:
        """Return how it ended; raise subprocess.TimeoutExpired if it does not in time."""


class RunningJudges:
    """The judges of one command; each may be started in a different thread."""

    def __init__(self) -> None:
        self._processes: set[subprocess.Popen[bytes]] = set()
        # Re-entrant, because a signal handler may call stop() in the very thread that is in start().
        self._lock = threading.RLock()
        self._stopped = False
        self._lifeline = Lifeline()

    @property
    def stopped(self) -> bool:
        """Whether stop() was called."""
        return self._stopped

    @contextmanager
    def start(
        self,
        arguments: Sequence[str],
        *,
        submission: Path,  # noqa: ARG002 - this judge ends with it
        cwd: Path,
        log: Path,
        settings: Mapping[str, str],
    ) -> Iterator[JudgeProcess]:
        """Run pytest on a submission with `settings` in its environment.

        At the end of the block, it and all that it started have ended.

        Raises: StoppedError if stop() was called.
        """
        with log.open("wb") as output, self._lock:
            if self._stopped:
                raise StoppedError("Stopped.")
            process = subprocess.Popen(
                [*PYTHON_OF_JUDGES, "-m", "pytest", *arguments],
                cwd=cwd,
                env={**judge_environment(), **self._lifeline.settings, **settings},
                pass_fds=[self._lifeline.of_judges],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches only this program, which then ends its judges in order
            )
            self._processes.add(process)
        try:
            yield process
        finally:
            end_session(process)
            with self._lock:
                self._processes.discard(process)

    def expect(self, count: int) -> None:
        """Say how many submissions are going to be graded, for judges that prepare for the next one."""

    def close(self) -> None:
        """End the judges that wait for another submission. Here none does."""

    def stop(self) -> None:
        """Tell every judge to end, and let no other start. The threads that wait for the judges kill those that do not end."""
        with self._lock:
            self._stopped = True
            for process in self._processes:
                _signal(process, signal.SIGTERM)


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


def judge_environment() -> dict[str, str]:
    """Return what a judge sees of this process's environment."""
    return {name: value for name, value in os.environ.items() if not _is_outer_setting(name)}


def _is_outer_setting(name: str) -> bool:
    """Whether a variable belongs to a pytest around the judge, as in our own tests, or to a CI around both.

    In a CI, pytest shows differences in full length. What a student reads would then depend on the machine, and the
    difference between two huge values can take a minute to compute.
    """
    return name.startswith("PYTEST_") or name in {"CI", "BUILD_NUMBER"}


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def end_session(process: subprocess.Popen[bytes]) -> None:
    """End a judge's whole session: by SIGTERM, then by SIGKILL. Remove what a judge that was killed could not remove."""
    if process.poll() is None:
        _signal(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
    if process.poll() is None:
        _signal(process, signal.SIGKILL)
        process.wait()
    if process.returncode < 0:
        remove_left_groups()
        remove_left_folders(Path(tempfile.gettempdir()))
        remove_left_folders(MEMORY_FOLDER)
