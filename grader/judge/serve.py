"""A judge that grades one submission after another, and imports torch once: `python -m grader.judge.serve WALL shared|apart`.

With "shared", all its submissions share a zygote: they must be our own, as those of `grade check` are. With "apart", each
submission has zygotes of its own. The judge itself runs no code of any of them.

Each line of standard input is a JudgeOrder; a line of standard output answers with pytest's exit code. The end of input ends it.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from course_env.devices import Gpu
from grader.course.judging.lifeline import end_with_command
from grader.course.judging.warm_judges import JudgeOrder
from grader.harness.launch.launcher import Launcher
from grader.harness.launch.remains import Remains
from grader.harness.launch.zygote_handle import ZygoteHandle
from grader.harness.protocol.messages import LaunchRequest
from grader.harness.protocol.sources import Sources
from grader.harness.protocol.wall import Wall

IN_ORDER = {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}
# pytest is not the first here to import our packages; only asserts in test files need its rewriting.
QUIET = ("-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning")


class Lent:
    """A launcher that outlives the judge that uses it."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher

    def wait_until_ready(self) -> object:
        """Return when launches can be served; raise LaunchError if they never will be."""
        return self._launcher.wait_until_ready()

    def gpus_seen(self, world_size: int) -> Sequence[Sequence[Gpu]]:
        """Return, by rank of a launch of that size, the GPUs of the machine that it would run on."""
        return self._launcher.gpus_seen(world_size)

    def launch(self, request: LaunchRequest, sources: Sources, inputs: Sequence[Mapping[str, Any]]) -> Remains:
        """Run a launch; return its remains."""
        return self._launcher.launch(request, sources, inputs)

    def close(self) -> None:
        """Do nothing: the next judge uses the launcher, too."""


@dataclass(kw_only=True)
class Lender:
    """A plugin that lends judges their launchers, so that these outlive them: as long as a submission, or for ever if shared.

    While one submission is graded, the zygotes for the next one import torch.
    """

    wall: Wall
    shared: bool
    _submission: bytes = b""
    _prepares: bool = False
    _started: dict[tuple[str, ...], ZygoteHandle] = field(default_factory=dict)
    _ahead: dict[tuple[str, ...], ZygoteHandle] = field(default_factory=dict)

    def begin(self, order: JudgeOrder) -> None:
        """Prepare for a run; end the zygotes of another submission than this run's."""
        if not self.shared and order.submission != self._submission:
            _close_all(self._started)
        self._submission = order.submission
        self._prepares = order.another_follows

    def pytest_start_launcher(self, preload: Sequence[str], gpus: bool) -> Any:  # noqa: FBT001 - pytest's hooks have no other
        """Lend a launcher without GPUs."""
        if gpus:
            return None
        key = tuple(preload)
        if key not in self._started:
            self._started[key] = self._ahead.pop(key) if key in self._ahead else self._start(key)
        if self._prepares and key not in self._ahead:
            self._ahead[key] = self._start(key)
        return Lent(self._started[key])

    def _start(self, preload: tuple[str, ...]) -> ZygoteHandle:
        return ZygoteHandle(wall=self.wall, preload=preload)

    def close(self) -> None:
        """End them all."""
        _close_all(self._started)
        _close_all(self._ahead)


def _close_all(zygotes: dict[tuple[str, ...], ZygoteHandle]) -> None:
    while zygotes:
        zygotes.popitem()[1].close()


def main() -> None:
    """Serve until standard input ends."""
    end_with_command()
    lender = Lender(wall=Wall(sys.argv[1]), shared=sys.argv[2] == "shared")
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    try:
        for line in sys.stdin.buffer:
            order = msgspec.json.decode(line, type=JudgeOrder)
            lender.begin(order)
            answers.write(f"{_judge(order, lender)}\n")
    finally:
        lender.close()


def _judge(order: JudgeOrder, lender: Lender) -> int:
    log = os.open(order.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.environ.update(order.settings)
    try:
        code = int(pytest.main([*QUIET, *map(os.fsdecode, order.arguments)], plugins=[lender]))
        if code not in IN_ORDER:
            _forget_tests()
        return code
    finally:
        _forget(order.settings)
        sys.stdout.flush()
        sys.stderr.flush()


def _forget_tests() -> None:
    """Have the next run import the tests again: one that could not be imported would be there without its tests."""
    for name in [name for name in sys.modules if name.startswith(("assignments", "solutions"))]:
        del sys.modules[name]


def _forget(settings: Mapping[str, str]) -> None:
    for name in settings:
        del os.environ[name]


if __name__ == "__main__":
    main()
    os._exit(0)  # tearing the interpreter down after torch costs most of a second
