"""Judges that stay: each grades one submission after another, and imports torch once.

A judge's process needs three seconds before its first test, which is most of a mutant's time. All submissions of a judge that
stays share a zygote, so they must all be ours.
"""

import contextlib
import os
import select
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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

    log: bytes
    """The file for its output."""

    settings: dict[str, str]
    """Additions to its environment, for this run only."""


class WarmJudges(RunningJudges):
    """Starts as many judges as are needed at one time; they end with the block."""

    def __init__(self, root: Path, wall: Wall) -> None:
        super().__init__()
        self._root = root
        self._wall = wall
        self._free: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._free:
            assert server.stdin is not None
            server.stdin.close()
        for server in self._free:
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(GRACE_S)
            _end(server)

    @contextmanager
    def start(self, arguments: Sequence[str], *, cwd: Path, log: Path, settings: Mapping[str, str]) -> Iterator["Turn"]:
        """Run these tests in a free judge, or else in a new one. A judge whose run is abandoned is ended.

        Raises: StoppedError if stop() was called.
        """
        assert cwd == self._root, "a judge stays in its course"
        server = self._take()
        turn = Turn(
            server,
            JudgeOrder(arguments=tuple(map(os.fsencode, arguments)), log=os.fsencode(log), settings=dict(settings)),
        )
        try:
            yield turn
        finally:
            self._give_back(server, turn)

    def _take(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._stopped:
                raise StoppedError("Stopped.")
            server = self._free.pop() if self._free else self._start_server()
            self._processes.add(server)
            return server

    def _start_server(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*PYTHON_OF_JUDGES, "-m", "grader.judge.serve", self._wall],
            cwd=self._root,
            env={**judge_environment(), **self._lifeline.settings},
            pass_fds=[self._lifeline.of_judges],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def _give_back(self, server: subprocess.Popen[bytes], turn: "Turn") -> None:
        is_whole = turn.returncode is not None and server.poll() is None
        if not is_whole:
            _end(server)
        with self._lock:
            self._processes.discard(server)
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
