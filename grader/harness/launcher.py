"""The judge's end of a launch: start a zygote, hand it a request, collect what the ranks leave behind.

Nothing is interpreted here; `verdict.py` does that. Whatever student code does, `Zygote.launch` returns within the
deadline plus CUT_AFTER_S plus the time it takes to end processes.
"""

import array
import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import msgspec

from course_env.errors import LaunchError
from grader.harness.protocol import frame
from grader.harness.protocol.journal import JOURNAL_BYTES
from grader.harness.protocol.messages import MAX_MESSAGE_BYTES, Cut, Ended, LaunchRequest, LaunchStatus, Ready

MAX_RESULT_BYTES = 256 << 20
MAX_STACK_BYTES = 64 << 10
MAX_LOG_BYTES = 64 << 10
# A rank that writes more than this in one launch is a fault; the launch is cut.
FLOOD_BYTES = 256 << 20
# Ranks dump their stacks at the deadline itself; the cut must come after that, and soon.
CUT_AFTER_S = 0.3
ZYGOTE_START_S = 60.0
SECONDS_TO_END = 5.0

_to_json = msgspec.json.Encoder().encode
_messages = msgspec.json.Decoder(Ready | Ended)
_status = msgspec.json.Decoder(LaunchStatus)


@dataclass(frozen=True, slots=True, kw_only=True)
class RankRemains:
    """What one rank left behind, as bytes: nothing in it is to be trusted."""

    result: bytes | None
    journal: bytes
    stacks: str
    log: str
    log_dropped_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Remains:
    """What one launch left behind. `status` is None when the supervisor could not report."""

    request: LaunchRequest
    ranks: tuple[RankRemains, ...]
    status: LaunchStatus | None
    deadline_passed: bool
    flooded: bool
    zygote_died: bool
    seconds: float


class Zygote:
    """A running zygote. Start it early: it imports torch while the judge does the same."""

    def __init__(self, *, preload: Sequence[str]) -> None:
        self._preload = tuple(preload)
        self._start()

    def _start(self) -> None:
        self._scratch = Path(tempfile.mkdtemp(prefix="ranks-", dir=_scratch_parent()))
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        arguments = (str(theirs.fileno()), str(self._scratch), *self._preload)
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-m", "grader.harness.inside.zygote", *arguments],
            pass_fds=[theirs.fileno()],
            env=_environment(self._scratch),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,  # Ctrl-C is for the judge, which ends the zygote in order
        )
        theirs.close()
        self._ready: Ready | None = None

    @property
    def pid(self) -> int:
        """The zygote's process id."""
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the zygote and with it everything it started."""
        self._control.close()
        try:
            self._process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def wait_until_ready(self) -> Ready:
        """Return when launches can be served.

        Raises: LaunchError if the zygote does not come up.
        """
        if self._ready is None:
            self._control.settimeout(ZYGOTE_START_S)
            try:
                message = self._control.recv(MAX_MESSAGE_BYTES)
            except TimeoutError:
                message = b""
            self._control.settimeout(None)
            ready = _messages.decode(message) if message else None
            if not isinstance(ready, Ready):
                raise LaunchError(f"The process that forks ranks did not start. Its last words:\n{self._last_words()}")
            self._ready = ready
        return self._ready

    def _last_words(self) -> str:
        self._log.seek(0)
        return self._log.read()[-4000:].decode(errors="replace")

    def launch(self, request: LaunchRequest, inputs: Sequence[Mapping[str, Any]]) -> Remains:
        """Run `request` with one dict of arguments per rank, and return what is left when no process of it is.

        A zygote that was killed is replaced, so one launch that kills it costs the next ones only the start.

        Raises: LaunchError if no zygote comes up.
        """
        self.wait_until_ready()
        with _Collector(request, inputs) as collector:
            try:
                self._control.sendmsg(
                    [_to_json(request)],
                    [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", collector.descriptors_to_send))],
                )
            except OSError as error:
                self._replace()
                raise LaunchError(f"The process that forks ranks was gone before the launch: {error}.") from error
            collector.close_ranks_ends()
            remains = collector.collect(self._control)
        if remains.zygote_died:
            self._replace()
        return remains

    def _replace(self) -> None:
        self._process.kill()
        self._process.wait()
        _end_strays(self._scratch)
        self.close()
        self._start()


def _end_strays(scratch: Path) -> None:
    """Kill what a zygote that was killed could not end: its ranks' own children, known by the scratch folder they inherit."""
    mark = str(scratch).encode()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (process / "environ").read_bytes():
                os.kill(int(process.name), signal.SIGKILL)


def _scratch_parent() -> str | None:
    """Memory if the machine offers it: the rendezvous file is locked and polled by every rank."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108


def _environment(scratch: Path) -> dict[str, str]:
    """All that ranks see of the environment. One thread a rank: ranks share the cores, and forks need it."""
    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        "DS_ACCELERATOR": "cpu",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


class _Collector:
    """The descriptors of one launch, and the loop that reads from them."""

    def __init__(self, request: LaunchRequest, inputs: Sequence[Mapping[str, Any]]) -> None:
        self._request = request
        self._ranks = range(request.world_size)
        packed = [frame.pack("inputs", dict(arguments)) for arguments in inputs]
        self._open: list[int] = []
        self._status_read, self._status_write = self._pipe()
        self._inputs = [self._keep(frame.sealed_input(data)) for data in packed]
        self._results = [self._keep(frame.sealed_output(MAX_RESULT_BYTES)) for _ in self._ranks]
        self._journals = [self._keep(frame.sealed_output(JOURNAL_BYTES)) for _ in self._ranks]
        self._stacks = [self._keep(frame.sealed_output(MAX_STACK_BYTES)) for _ in self._ranks]
        self._log_ends = [self._pipe() for _ in self._ranks]
        self._logs = {read: bytearray() for read, _ in self._log_ends}
        self._dropped = dict.fromkeys(self._logs, 0)
        self._start = time.monotonic()

    def _keep(self, descriptor: int) -> int:
        self._open.append(descriptor)
        return descriptor

    def _pipe(self) -> tuple[int, int]:
        read, write = os.pipe()
        return self._keep(read), self._keep(write)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in self._open:
            os.close(descriptor)

    @property
    def descriptors_to_send(self) -> list[int]:
        logs = [write for _, write in self._log_ends]
        per_rank = zip(self._inputs, self._results, self._journals, self._stacks, logs, strict=True)
        return [self._status_write, *(descriptor for rank in per_rank for descriptor in rank)]

    def close_ranks_ends(self) -> None:
        """Close the write ends that only ranks may hold, so that end of file means that all of them ended."""
        for descriptor in [self._status_write, *(write for _, write in self._log_ends)]:
            self._open.remove(descriptor)
            os.close(descriptor)

    def collect(self, control: socket.socket) -> Remains:
        """Drain logs until the launch has ended, cutting it at its deadline."""
        deadline = self._start + self._request.timeout_s + CUT_AFTER_S
        zygote_gone_at = deadline + SECONDS_TO_END
        poll = select.poll()
        for descriptor in [control.fileno(), *self._logs]:
            poll.register(descriptor, select.POLLIN)
        deadline_passed = flooded = False
        ended: Ended | None = None
        zygote_died = False
        while ended is None and not zygote_died:
            cut = deadline_passed or flooded
            limit = zygote_gone_at if cut else deadline
            for descriptor, _ in poll.poll(max(0.0, 1000 * (limit - time.monotonic()))):
                if descriptor == control.fileno():
                    ended, zygote_died = _read_ended(control)
                elif not self._drain(descriptor):
                    poll.unregister(descriptor)
            flooded = flooded or sum(self._dropped.values()) > FLOOD_BYTES
            deadline_passed = deadline_passed or (not flooded and time.monotonic() >= deadline)
            if (deadline_passed or flooded) and not cut and ended is None:
                with contextlib.suppress(OSError):
                    control.send(_to_json(Cut()))
            zygote_died = zygote_died or time.monotonic() >= zygote_gone_at
        self._drain_what_is_left()
        return self._remains(deadline_passed=deadline_passed, flooded=flooded, zygote_died=zygote_died)

    def _drain(self, descriptor: int) -> bool:
        data = os.read(descriptor, 1 << 16)
        log = self._logs[descriptor]
        kept = data[: MAX_LOG_BYTES - len(log)]
        log += kept
        self._dropped[descriptor] += len(data) - len(kept)
        return bool(data)

    def _drain_what_is_left(self) -> None:
        for descriptor in self._logs:
            os.set_blocking(descriptor, False)
            with contextlib.suppress(BlockingIOError):
                while self._dropped[descriptor] <= FLOOD_BYTES and self._drain(descriptor):
                    pass

    def _remains(self, *, deadline_passed: bool, flooded: bool, zygote_died: bool) -> Remains:
        return Remains(
            request=self._request,
            ranks=tuple(self._rank_remains(rank) for rank in self._ranks),
            status=self._read_status(),
            deadline_passed=deadline_passed,
            flooded=flooded,
            zygote_died=zygote_died,
            seconds=time.monotonic() - self._start,
        )

    def _rank_remains(self, rank: int) -> RankRemains:
        log = self._log_ends[rank][0]
        return RankRemains(
            result=frame.read_frame(self._results[rank]),
            journal=frame.read_written(self._journals[rank], JOURNAL_BYTES),
            stacks=frame.read_written(self._stacks[rank], MAX_STACK_BYTES).decode(errors="replace"),
            log=self._logs[log].decode(errors="replace"),
            log_dropped_bytes=self._dropped[log],
        )

    def _read_status(self) -> LaunchStatus | None:
        os.set_blocking(self._status_read, False)
        with contextlib.suppress(BlockingIOError, msgspec.MsgspecError):
            return _status.decode(os.read(self._status_read, MAX_MESSAGE_BYTES))
        return None


def _read_ended(control: socket.socket) -> tuple[Ended | None, bool]:
    """Return the zygote's message, and whether the zygote has gone instead."""
    try:
        message = control.recv(MAX_MESSAGE_BYTES)
    except ConnectionError:
        message = b""
    ended = _messages.decode(message) if message else None
    return (ended, False) if isinstance(ended, Ended) else (None, True)
