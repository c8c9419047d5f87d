"""Running the judge: one pytest process in the course's own tree, for one submission, within a time limit.

Callers that must be tested without it (`grade check`) take a `Judge`, a callable; `SubprocessJudge` is the real one.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from grader.course.catalog import Course, Selected
from grader.course.record import Record, read_report

TAIL_LINES = 20
GRACE_S = 5.0


class Judge(Protocol):
    """Grades a submission; returns one record for each test of the exercises in `selected`, hidden tests included."""

    def __call__(
        self, submission: Path, selected: Sequence[Selected], *, first_failure_only: bool = False
    ) -> list[Record]:
        """Grade the files `submission/<chapter id>/<file>`; `first_failure_only` leaves the tests after it unfinished."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubprocessJudge:
    """The judge as a process of its own, which ends with all it started when its time is up."""

    course: Course
    time_limit_s: float = 600.0
    options: tuple[str, ...] = ()
    """More arguments for pytest, like `--seed=7` or `-n2`."""

    def __call__(
        self, submission: Path, selected: Sequence[Selected], *, first_failure_only: bool = False
    ) -> list[Record]:
        """Return the judge's records.

        Raises: LaunchError, with the end of its output, if the judge did not get as far as collecting tests.
        """
        with tempfile.TemporaryDirectory(prefix="judge-") as scratch:
            report, log = Path(scratch, "report.jsonl"), Path(scratch, "output.txt")
            command = self._command(submission, selected, report)
            trouble = self._run([*command, "--maxfail=1"] if first_failure_only else command, log)
            return read_report(report, trouble=trouble)

    def _command(self, submission: Path, selected: Sequence[Selected], report: Path) -> list[str]:
        root = self.course.root
        command = [sys.executable, "-m", "pytest", "-c", str(root / "pyproject.toml"), "--rootdir", str(root)]
        command += ["-p", "no:cacheprovider", "--submission", str(submission), "--report", str(report), *self.options]
        for chapter, exercise in selected:
            command += ["--exercise", f"{chapter.short}/{exercise.id}"]
        folders = dict.fromkeys(folder for chapter, _ in selected for folder in (chapter.folder, chapter.solution))
        return [*command, *(str(folder) for folder in folders if folder.is_dir())]

    def _run(self, command: Sequence[str], log: Path) -> str:
        """Run the judge to its end, and return what went wrong with it: nothing if its tests merely failed."""
        # A session of its own, so that the limit ends pytest's workers with it. Outer pytest's settings stay outside.
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
        with (
            log.open("wb") as output,
            subprocess.Popen(
                command,
                cwd=self.course.root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            ) as process,
        ):
            try:
                exit_code = process.wait(self.time_limit_s)
            except subprocess.TimeoutExpired:
                _end(process)
                return f"It was cut at its limit of {self.time_limit_s:g} s. {_tail(log)}"
            except BaseException:
                _end(process)  # Ctrl-C must not leave ranks behind
                raise
        return "" if exit_code in {0, 1} else f"It ended with exit code {exit_code}. {_tail(log)}"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the judge's whole session: politely, so that it can end its ranks, then for good."""
    for kind in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, kind)
            process.wait(GRACE_S)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "Its last lines:\n" + "\n".join(lines[-TAIL_LINES:])
