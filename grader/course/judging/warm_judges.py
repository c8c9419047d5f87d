"""Judges that stay: each grades one submission after another, and imports torch once.

A judge's process needs three seconds before its first test, which is most of the time of a small submission. It runs no code of
a submission itself. The zygote that forks the ranks is one submission's, unless all submissions are ours.
"""

import contextlib
import os
import select
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgspec

from course_env.errors import LaunchError
from grader.course.judging.running_judges import (
    GRACE_S,
    PYTHON_OF_JUDGES,
    RunningJudges,
    StoppedError,
    end_session,
    judge_environment,
)
from grader.harness.protocol.wall import Wall


class JudgeOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a judge that stays is asked to run."""

    arguments: tuple[bytes, ...]
    """pytest's, as the system has them: a path may not be UTF-8."""

    submission: bytes
    """The folder of what is graded, which names the submission."""

    another_follows: bool
    """Whether a zygote for another submission is worth starting meanwhile."""

    log: bytes
    """The file for its output."""

    settings: dict[str, str]
    """Additions to its environment, for this run only."""


@dataclass(kw_only=True)
class _Server:
    """A judge that stays."""

    process: subprocess.Popen[bytes]
    submission: Path | None = None
    """What it graded last."""


class WarmJudges(RunningJudges):
    """Starts as many judges as are needed at one time; they end with the block, or when they are closed.

    shared: all submissions of a judge share a zygote, so they must all be ours; otherwise each has a zygote of its own
    """

    def __init__(self, root: Path, wall: Wall, *, shared: bool) -> None:
        super().__init__()
        self._root = root
        self._wall = wall
        self._shared = shared
        self._free: list[_Server] = []
        self._to_prepare = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def expect(self, count: int) -> None:
        """Say how many submissions are going to be graded."""
        with self._lock:
            self._to_prepare = 0 if self._shared else count

    def close(self) -> None:
        """End the judges that wait for another submission."""
        with self._lock:
            free, self._free = self._free, []
        for server in free:
            assert server.process.stdin is not None
            server.process.stdin.close()
        for server in free:
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.process.wait(GRACE_S)
            _end(server.process)

    @contextmanager
    def start(
        self, arguments: Sequence[str], *, submission: Path, cwd: Path, log: Path, settings: Mapping[str, str]
    ) -> Iterator["Turn"]:
        """Run these tests in a free judge, or else in a new one. A judge whose run is abandoned is ended.

        Raises: StoppedError if stop() was called.
        """
        assert cwd == self._root, "a judge stays in its course"
        server, another_follows = self._take(submission)
        order = JudgeOrder(
            arguments=tuple(map(os.fsencode, arguments)),
            submission=os.fsencode(submission),
            another_follows=another_follows,
            log=os.fsencode(log),
            settings=dict(settings),
        )
        turn = Turn(server.process, order)
        try:
            yield turn
        finally:
            self._give_back(server, turn)

    def _take(self, submission: Path) -> tuple[_Server, bool]:
        """Return a judge for a submission, the one that knows it if there is one, and whether it is to prepare for another."""
        with self._lock:
            if self._stopped:
                raise StoppedError("Stopped.")
            position = next((i for i, server in enumerate(self._free) if server.submission == submission), -1)
            server = self._free.pop(position) if self._free else _Server(process=self._start_server())
            if server.submission != submission:
                server.submission = submission
                self._to_prepare -= 1  # this one is under way
            self._processes.add(server.process)
            return server, self._to_prepare > 0

    def _start_server(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*PYTHON_OF_JUDGES, "-m", "grader.judge.serve", self._wall, "shared" if self._shared else "apart"],
            cwd=self._root,
            env={**judge_environment(), **self._lifeline.settings},
            pass_fds=[self._lifeline.of_judges],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def _give_back(self, server: _Server, turn: "Turn") -> None:
        is_whole = turn.returncode is not None and server.process.poll() is None
        if not is_whole:
            _end(server.process)
        with self._lock:
            self._processes.discard(server.process)
            if is_whole:
                self._free.append(server)


def _end(server: subprocess.Popen[bytes]) -> None:
    end_session(server)
    for pipe in (server.stdin, server.stdout):
        assert pipe is not None
        with contextlib.suppress(BrokenPipeError):
            pipe.close()


class Turn:
    """One run of a judge that stays; it can be waited for like a process."""

    def __init__(self, server: subprocess.Popen[bytes], order: JudgeOrder) -> None:
        self._server = server
        self.pid = server.pid
        self.returncode: int | None = None
        assert server.stdin is not None
        try:
            server.stdin.write(msgspec.json.encode(order) + b"\n")
            server.stdin.flush()
        except OSError as error:
            raise LaunchError(f"The judge has gone: {error}.") from error

    def wait(self, timeout: float) -> int:
        """Return pytest's exit code, or minus the signal that ended the judge.

        Raises: subprocess.TimeoutExpired.
        """
        assert self._server.stdout is not None
        if self.returncode is None:
            if not select.select([self._server.stdout], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self._server.args, timeout)
            answer = self._server.stdout.readline()
            self.returncode = int(answer) if answer else self._server.wait()
        return self.returncode
