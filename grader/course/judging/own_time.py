"""How long a judge itself computes for one test, apart from its ranks.

Every launch has its deadline. What a test does with the values that came back has none, and one call into C that takes long
can be interrupted by nothing inside the judge: so its parent looks at it from outside. It looks at the processor time of the
judge's first thread, which is the one that runs tests. On a busy machine that grows no faster than on an idle one; and it
does not count the other threads among which torch divides its work.
"""

import os
from pathlib import Path

from grader.course.judging.report import JudgeProgress

OWN_TIME_S = 30.0
"""Processor time for one test. The tests of this course take less than 2 s of it."""


class OwnTime:
    """The time that a judge has computed for the test that it runs now."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._test: tuple[int, str | None] | None = None
        self._before = 0.0

    def of_running_test(self, progress: JudgeProgress) -> float:
        """Return the seconds since the running test was first seen, 0 if no test runs."""
        now = _first_threads_time(self._pid)
        test = (progress.done, progress.running)
        if test != self._test:
            self._test, self._before = test, now
        return 0.0 if progress.running is None else now - self._before


def _first_threads_time(pid: int) -> float:
    """Return the processor time of a process's first thread in seconds, 0 if the process has ended.

    https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html: fields 14 and 15 are utime and stime.
    """
    try:
        after_name = Path(f"/proc/{pid}/task/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")
