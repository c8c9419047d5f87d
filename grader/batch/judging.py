"""What a command does about its judges: end them all on a signal, and find the tests that they left without evidence."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from grader.course.judging.judge_process import JudgeEnd, RunningJudges
from grader.course.judging.record import Record
from grader.harness.outcome import Outcome


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
