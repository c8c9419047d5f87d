"""A judge that grades one submission after another, and imports torch once: `python -m grader.judge.serve WALL`.

For submissions of one's own only, as `grade check` has: all of them share a zygote. Who hands in code of theirs gets a
judge of their own.

Each line of standard input is a Run, answered on standard output by pytest's exit code, as a line. The end of input ends it.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from grader.course.judging.warm_judges import JudgeOrder
from grader.harness.launch.launcher import Launcher
from grader.harness.launch.zygote_handle import ZygoteHandle
from grader.harness.protocol.wall import Wall

# pytest is not the first here to import our packages; only asserts in test files need its rewriting.
QUIET = ("-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning")


class Lent:
    """A launcher that is there for the next judge, too."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher

    def __getattr__(self, name: str) -> Any:
        return getattr(self._launcher, name)

    def close(self) -> None:
        """Do nothing."""


@dataclass(kw_only=True)
class Lender:
    """A plugin that lends judges their launchers, so that these outlive them."""

    wall: Wall
    _started: dict[tuple[str, ...], ZygoteHandle] = field(default_factory=dict)

    def pytest_start_launcher(self, preload: Sequence[str], gpus: bool) -> Any:  # noqa: FBT001 - pytest's hooks have no other
        """Lend a launcher without GPUs."""
        if gpus:
            return None
        key = tuple(preload)
        if key not in self._started:
            self._started[key] = ZygoteHandle(wall=self.wall, preload=key)
        return Lent(self._started[key])

    def close(self) -> None:
        """End them all."""
        for zygote in self._started.values():
            zygote.close()


def main() -> None:
    """Serve until nobody asks any more."""
    lender = Lender(wall=Wall(sys.argv[1]))
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    try:
        for line in sys.stdin.buffer:
            run = msgspec.json.decode(line, type=JudgeOrder)
            answers.write(f"{_judge(run, lender)}\n")
    finally:
        lender.close()


def _judge(run: JudgeOrder, lender: Lender) -> int:
    log = os.open(run.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.environ.update(run.settings)
    try:
        return int(pytest.main([*QUIET, *run.arguments], plugins=[lender]))
    finally:
        _forget(run.settings)
        sys.stdout.flush()
        sys.stderr.flush()


def _forget(settings: Mapping[str, str]) -> None:
    for name in settings:
        del os.environ[name]


if __name__ == "__main__":
    main()
    os._exit(0)  # tearing the interpreter down after torch costs most of a second
