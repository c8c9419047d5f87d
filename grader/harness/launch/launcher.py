"""The judge's end of a launch: start a zygote, hand it a request, collect what the ranks leave behind.

Nothing is interpreted here; `verdict.py` does that. Whatever student code does, `Zygote.launch` returns within the
deadline plus CUT_AFTER_S plus the time it takes to end processes.
"""

import array
import contextlib
import os
import select
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import msgspec

from course_env.devices import Gpu, visible_gpus
from course_env.errors import LaunchError
from grader.harness.protocol import frame
from grader.harness.protocol.files import remove_tree
from grader.harness.protocol.journal import JOURNAL_BYTES
from grader.harness.protocol.messages import (
    MAX_MESSAGE_BYTES,
    Cut,
    LaunchEnded,
    LaunchRequest,
    LaunchStatus,
    Network,
    Ready,
)
from grader.harness.protocol.sources import Sources, pack_sources
from grader.harness.protocol.wall import Wall
from grader.harness.sandbox.cgroup import make_groups, remove_groups
from grader.harness.sandbox.zygote_command import Command, zygote_command

MAX_RESULT_BYTES = 128 << 20
MAX_STACK_BYTES = 64 << 10
MAX_LOG_BYTES = 64 << 10
# A rank that writes more than this in one launch is a fault; the launch is cut.
FLOOD_BYTES = 64 << 20
# Ranks dump their stacks at the deadline itself; the cut must come after that, and soon.
CUT_AFTER_S = 0.3
# The parts of a launch are cut together, by the judge, unless it cannot any more.
PART_LATER_S = 3.0
ZYGOTE_START_S = 60.0
MAX_LAST_WORDS = 4000
SECONDS_TO_END = 5.0
# Between the moment when a zygote's socket closes and the one when its exit code is known.
SECONDS_TO_EXIT = 0.5

_to_json = msgspec.json.Encoder().encode
_messages = msgspec.json.Decoder(Ready | LaunchEnded)
_status = msgspec.json.Decoder(LaunchStatus)


@dataclass(frozen=True, slots=True, kw_only=True)
class RankRemains:
    """What one rank left behind, as bytes: nothing in it is to be trusted."""

    result: bytes | None
    journal: bytes
    stacks: str
    log: str
    log_dropped_bytes: int
    node: str = ""
    """The machine it ran on, if it was another than the judge's."""

    folder: str = ""
    """Where its sources lay, if the supervisor could say so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remains:
    """What one launch left behind. `status` is None when the supervisor could not report."""

    request: LaunchRequest
    ranks: tuple[RankRemains, ...]
    status: LaunchStatus | None
    deadline_passed: bool
    flooded: bool
    zygote_died: bool
    supervisor_failed: bool
    seconds: float


class Launcher(Protocol):
    """What runs the launches of a judge: a zygote of its own, or several in an allocation."""

    def wait_until_ready(self) -> object:
        """Return when launches can be served; raise LaunchError if that will not be."""

    def gpus_seen(self, world_size: int) -> Sequence[Sequence[Gpu]]:
        """Return, by rank of a launch of that size, the GPUs of the machine that it would run on."""

    def launch(self, request: LaunchRequest, sources: Sources, inputs: Sequence[Mapping[str, Any]]) -> Remains:
        """Run `request` with one dict of arguments per rank, and return what is left when no process of it is.

        Raises: LaunchError if it cannot be run, through no fault of the code under test.
        """

    def close(self) -> None:
        """End it, and with it all that it started."""


class ZygoteHandle:
    """A running zygote. Start it early: it imports torch while the judge does the same.

    Raises: LaunchError if no process can be started.
    """

    def __init__(
        self, *, wall: Wall, preload: Sequence[str], network: Network | None = None, gpus: bool = False
    ) -> None:
        self._wall = wall
        self._preload = tuple(preload)
        self._network = network
        self._gpus = gpus
        self._start()

    def _start(self) -> None:
        try:
            self._start_process()
        except OSError as error:
            raise LaunchError(f"The process that forks ranks cannot be started: {error}.") from error

    def _start_process(self) -> None:
        self._ready: Ready | None = None
        self._failure: str | None = None
        # Whether a launch was left before its end, by Ctrl-C or a test's time-out: its Ended would answer the next one.
        self._in_launch = False
        self._scratch = Path(tempfile.mkdtemp(prefix="ranks-", dir=_scratch_parent()))
        self._groups = make_groups() if self._wall.is_bubblewrap else ()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs, self._command(theirs.fileno()) as command:
                self._process = self._run(command)
        except OSError:
            self._forget()
            raise

    def _command(self, control: int) -> contextlib.AbstractContextManager[Command]:
        return zygote_command(
            self._wall,
            control,
            self._scratch,
            self._groups,
            self._preload,
            network=self._network,
            gpus=self._gpus,
        )

    def _run(self, command: Command) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command.arguments,
            pass_fds=command.descriptors,
            env=command.environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,  # Ctrl-C is for the judge, which ends the zygote in order
        )

    @property
    def pid(self) -> int:
        """The process that the judge started: the zygote, or the bubblewrap that holds it."""
        return self._process.pid

    @property
    def wall(self) -> Wall:
        """What the ranks run behind."""
        return self._wall

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
            self._kill()
        self._forget()

    def _kill(self) -> None:
        self._process.kill()
        self._process.wait()
        _end_strays(self._scratch)

    def _forget(self) -> None:
        self._control.close()
        self._log.close()
        remove_tree(self._scratch)
        remove_groups(self._groups)

    def gpus_seen(self, world_size: int) -> Sequence[Sequence[Gpu]]:
        """Return this machine's GPUs for every rank."""
        return [visible_gpus()] * world_size

    def wait_until_ready(self) -> Ready:
        """Return when launches can be served.

        Raises: LaunchError if the zygote does not come up.
        """
        if self._failure is not None:
            raise LaunchError(self._failure)  # waiting once was enough
        if self._ready is None:
            try:
                self._ready = self._receive_ready()
            except LaunchError as error:
                self._failure = str(error)
                raise
        return self._ready

    def _receive_ready(self) -> Ready:
        problem = "did not start"
        self._control.settimeout(ZYGOTE_START_S)
        try:
            message = self._control.recv(MAX_MESSAGE_BYTES)
        except TimeoutError:
            message = b""
            problem = f"did not start within {ZYGOTE_START_S:g} s"
        self._control.settimeout(None)
        ready = _messages.decode(message) if message else None
        if not isinstance(ready, Ready):
            raise LaunchError(f"The process that forks ranks {problem}. {self._last_words()}")
        return ready

    def _last_words(self) -> str:
        self._log.seek(0)
        words = self._log.read()[-MAX_LAST_WORDS:].decode(errors="replace").strip()
        return f"Its last words:\n{words}" if words else "It left no word."

    def launch(self, request: LaunchRequest, sources: Sources, inputs: Sequence[Mapping[str, Any]]) -> Remains:
        """Run `request` with one dict of arguments per rank, and return what is left when no process of it is.

        A zygote that was killed is replaced, so one launch that kills it costs the next ones only the start.

        Raises: LaunchError if no zygote comes up, or if it fails by itself.
        """
        return self.launch_packed(request, pack_sources(sources), pack_inputs(inputs))

    def launch_packed(
        self, request: LaunchRequest, sources: bytes, inputs: Sequence[bytes], others: Sequence[int] = ()
    ) -> Remains:
        """Do what `launch` does for a whole launch, or for the part of one that `others` join: see `messages`.

        sources, inputs: as `pack_sources` and `pack_inputs` return them, inputs of this part's ranks only
        others: descriptors, which stay the caller's
        """
        if self._ready is not None and (self._in_launch or self._process.poll() is not None):
            self._replace()
        self.wait_until_ready()
        with _collector(request, sources, inputs) as collector:
            self._in_launch = True
            self._send(request, collector.descriptors_to_send(others))
            collector.close_ranks_ends()
            remains = collector.collect(self._control)
            self._in_launch = False
        if remains.zygote_died:
            self._bury()
        if remains.supervisor_failed:
            raise LaunchError(f"The ranks could not be started or watched. {self._last_words()}")
        return remains

    def _send(self, request: LaunchRequest, descriptors: Sequence[int]) -> None:
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))
        try:
            self._control.sendmsg([_to_json(request)], [rights])
        except OSError as error:
            raise LaunchError(f"The process that forks ranks was gone before the launch: {error}.") from error

    def _bury(self) -> None:
        """Replace a zygote that is gone or does not answer.

        Raises: LaunchError if it ended by itself: that is no work of the code under test.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(SECONDS_TO_EXIT)
        failed_by_itself = (self._process.returncode or 0) > 0
        words = self._last_words()
        self._replace()
        if failed_by_itself:
            raise LaunchError(f"The process that forks ranks failed. {words}")

    def _replace(self) -> None:
        self._kill()
        self._forget()
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


def pack_inputs(inputs: Sequence[Mapping[str, Any]]) -> list[bytes]:
    """Return each rank's arguments as bytes.

    Raises: UnsupportedValueError for values that do not travel.
    """
    return [frame.pack("inputs", dict(arguments)) for arguments in inputs]


def _collector(request: LaunchRequest, sources: bytes, inputs: Sequence[bytes]) -> "_Collector":
    try:
        return _Collector(request, sources, inputs)
    except OSError as error:
        raise LaunchError(f"There are no means for a launch of {request.world_size} ranks: {error}.") from error


class _Collector:
    """The descriptors of one launch, and the loop that reads from them."""

    def __init__(self, request: LaunchRequest, sources: bytes, packed: Sequence[bytes]) -> None:
        self._request = request
        self._ranks = range(len(request.ranks))  # by their places in the part
        self._open: list[int] = []
        try:
            self._open_all(sources, packed)
        except OSError:
            self.close()
            raise
        self._start = time.monotonic()

    def _open_all(self, sources: bytes, packed: Sequence[bytes]) -> None:
        self._status_read, self._status_write = self._pipe()
        self._sources = self._keep(frame.sealed_input(sources))
        self._inputs = [self._keep(frame.sealed_input(data)) for data in packed]
        self._results = [self._keep(frame.sealed_output(MAX_RESULT_BYTES)) for _ in self._ranks]
        self._journals = [self._keep(frame.sealed_output(JOURNAL_BYTES)) for _ in self._ranks]
        self._stacks = [self._keep(frame.sealed_output(MAX_STACK_BYTES)) for _ in self._ranks]
        self._log_ends = [self._pipe() for _ in self._ranks]
        self._logs = {read: bytearray() for read, _ in self._log_ends}
        self._dropped = dict.fromkeys(self._logs, 0)

    def _keep(self, descriptor: int) -> int:
        self._open.append(descriptor)
        return descriptor

    def _pipe(self) -> tuple[int, int]:
        read, write = os.pipe()
        return self._keep(read), self._keep(write)

    def close(self) -> None:
        for descriptor in self._open:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def descriptors_to_send(self, others: Sequence[int]) -> list[int]:
        logs = [write for _, write in self._log_ends]
        per_rank = zip(self._inputs, self._results, self._journals, self._stacks, logs, strict=True)
        return [self._status_write, self._sources, *others, *(descriptor for rank in per_rank for descriptor in rank)]

    def close_ranks_ends(self) -> None:
        """Close the write ends that only ranks may hold, so that end of file means that all of them ended."""
        for descriptor in [self._status_write, *(write for _, write in self._log_ends)]:
            self._open.remove(descriptor)
            os.close(descriptor)

    def collect(self, control: socket.socket) -> Remains:
        """Drain logs until the launch has ended, cutting it at its deadline."""
        late = CUT_AFTER_S if self._request.part is None else CUT_AFTER_S + PART_LATER_S
        deadline = self._start + self._request.timeout_s + late
        zygote_gone_at = deadline + SECONDS_TO_END
        poll = select.poll()
        for descriptor in [control.fileno(), *self._logs]:
            poll.register(descriptor, select.POLLIN)
        deadline_passed = flooded = False
        ended: LaunchEnded | None = None
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
        return self._remains(ended, deadline_passed=deadline_passed, flooded=flooded)

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

    def _remains(self, ended: LaunchEnded | None, *, deadline_passed: bool, flooded: bool) -> Remains:
        status = self._read_status()
        folder = "" if status is None else status.folder
        return Remains(
            request=self._request,
            ranks=tuple(self._rank_remains(rank, folder) for rank in self._ranks),
            status=status,
            deadline_passed=deadline_passed,
            flooded=flooded,
            zygote_died=ended is None,
            supervisor_failed=ended is not None and ended.supervisor_exit_code > 0,
            seconds=time.monotonic() - self._start,
        )

    def _rank_remains(self, rank: int, folder: str) -> RankRemains:
        log = self._log_ends[rank][0]
        return RankRemains(
            result=frame.read_frame(self._results[rank]),
            journal=frame.read_written(self._journals[rank], JOURNAL_BYTES),
            stacks=frame.read_written(self._stacks[rank], MAX_STACK_BYTES).decode(errors="replace"),
            log=self._logs[log].decode(errors="replace"),
            log_dropped_bytes=self._dropped[log],
            folder=folder,
        )

    def _read_status(self) -> LaunchStatus | None:
        os.set_blocking(self._status_read, False)
        with contextlib.suppress(BlockingIOError, msgspec.MsgspecError):
            status = _status.decode(os.read(self._status_read, MAX_MESSAGE_BYTES))
            return status if len(status.ranks) == len(self._ranks) else None
        return None


def _read_ended(control: socket.socket) -> tuple[LaunchEnded | None, bool]:
    """Return the zygote's message, and whether the zygote has gone instead."""
    try:
        message = control.recv(MAX_MESSAGE_BYTES)
    except ConnectionError:
        message = b""
    ended = _messages.decode(message) if message else None
    return (ended, False) if isinstance(ended, LaunchEnded) else (None, True)
