"""The judge's end of a zygote: start it, hand it requests, replace it when it was killed.

Nothing is interpreted here; `verdict.py` does that.
"""

import array
import contextlib
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec

from course_env.devices import Gpu, visible_gpus
from course_env.errors import LaunchError
from grader.harness.launch.collector import collecting
from grader.harness.launch.launcher import pack_inputs
from grader.harness.launch.remains import Remains
from grader.harness.protocol.descriptors import PartDescriptors
from grader.harness.protocol.held_folder import held_folder
from grader.harness.protocol.messages import MAX_MESSAGE_BYTES, LaunchEnded, LaunchRequest, Network, Ready
from grader.harness.protocol.sources import Sources, pack_sources
from grader.harness.protocol.timeline import SECONDS_TO_END
from grader.harness.protocol.wall import Wall
from grader.harness.sandbox.cgroup import make_groups, remove_groups
from grader.harness.sandbox.zygote_command import zygote_command

ZYGOTE_START_S = 60.0
MAX_LAST_WORDS = 4000
MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108 - fresh folders are made in it
# Between the moment when a zygote's socket closes and the one when its exit code is known.
SECONDS_TO_EXIT = 0.5

_to_json = msgspec.json.Encoder().encode
_messages = msgspec.json.Decoder(Ready | LaunchEnded)


class ZygoteHandle:
    """A running zygote, as its judge holds it. Start it early: it imports torch while the judge does the same.

    scratch_parent: where its folder for launches is made; None: in memory if the machine offers that, else on disk
    Raises: LaunchError if no process can be started.
    """

    def __init__(
        self,
        *,
        wall: Wall,
        preload: Sequence[str],
        network: Network | None = None,
        gpus: bool = False,
        scratch_parent: Path | None = None,
    ) -> None:
        self._wall = wall
        self._preload = tuple(preload)
        self._network = network
        self._gpus = gpus
        self._scratch_parent = _folder_for_launches(wall) if scratch_parent is None else scratch_parent
        self._start()

    def _start(self) -> None:
        self._ready: Ready | None = None
        self._failure: str | None = None
        # True while a launch is under way. If Ctrl-C or a test's time-out abandons it, the zygote's late answer to it
        # would be taken for the next launch's.
        self._in_launch = False
        try:
            with contextlib.ExitStack() as undo:
                # In bubblewrap a zygote has folders of its own.
                is_apart = self._wall.is_bubblewrap
                self._scratch = None if is_apart else undo.enter_context(held_folder("ranks", self._scratch_parent))
                self._groups = make_groups() if self._wall.is_bubblewrap else ()
                undo.callback(remove_groups, self._groups)
                self._log = undo.enter_context(tempfile.TemporaryFile())
                self._control, zygotes_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                undo.enter_context(self._control)
                with zygotes_end:
                    self._process = self._start_process(zygotes_end.fileno())
                self._resources = undo.pop_all()
        except OSError as error:
            raise LaunchError(f"The process that forks ranks cannot be started: {error}.") from error

    def _start_process(self, control: int) -> subprocess.Popen[bytes]:
        with zygote_command(
            self._wall,
            control,
            self._scratch,
            [group.path for group in self._groups],
            self._preload,
            network=self._network,
            gpus=self._gpus,
        ) as command:
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
        self._resources.close()

    def _kill(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._scratch is not None:
            _end_strays(self._scratch)

    def gpus_seen(self, world_size: int) -> Sequence[Sequence[Gpu]]:
        """Return this machine's GPUs for every rank."""
        return [visible_gpus()] * world_size

    def wait_until_ready(self) -> Ready:
        """Return when launches can be served.

        Raises: LaunchError if the zygote does not come up.
        """
        if self._failure is not None:
            raise LaunchError(self._failure)  # it has been waited for once
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
        return f"Its last words:\n{words}" if words else "It printed nothing."

    def launch(self, request: LaunchRequest, sources: Sources, inputs: Sequence[Mapping[str, Any]]) -> Remains:
        """Run `request` with one dict of arguments per rank, and return its remains once every process of it has ended.

        A zygote that was killed is replaced, so a launch that kills it costs the next launches only the start.

        Raises: LaunchError if no zygote comes up, or if the zygote itself fails.
        """
        return self.launch_packed(request, pack_sources(sources), pack_inputs(inputs))

    def launch_packed(
        self, request: LaunchRequest, sources: bytes, inputs: Sequence[bytes], part: PartDescriptors | None = None
    ) -> Remains:
        """Do what `launch` does, for a whole launch or for the one part of it that `request.part` describes.

        sources, inputs: as `pack_sources` and `pack_inputs` return them, inputs of this part's ranks only
        part: the sockets of that part, which the caller closes; None for a whole launch
        """
        if self._ready is not None and (self._in_launch or self._process.poll() is not None):
            self._replace()
        self.wait_until_ready()
        with collecting(request, sources, inputs) as collector:
            self._in_launch = True
            self._send(request, collector.descriptors_to_send(part))
            collector.close_ranks_ends()
            remains = collector.collect(self._control)
            self._in_launch = False
        if remains.zygote_died:
            self._replace_dead()
        if remains.supervisor_failed:
            raise LaunchError(f"The ranks could not be started or watched. {self._last_words()}")
        return remains

    def _send(self, request: LaunchRequest, descriptors: Sequence[int]) -> None:
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))
        try:
            self._control.sendmsg([_to_json(request)], [rights])
        except OSError as error:
            raise LaunchError(f"The process that forks ranks was gone before the launch: {error}.") from error

    def _replace_dead(self) -> None:
        """Replace a zygote that is gone or does not answer.

        Raises: LaunchError if the zygote itself failed: the code under test cannot make it do that.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(SECONDS_TO_EXIT)
        has_failed = (self._process.returncode or 0) > 0
        words = self._last_words()
        self._replace()
        if has_failed:
            raise LaunchError(f"The process that forks ranks failed. {words}")

    def _replace(self) -> None:
        self._kill()
        self._resources.close()
        self._start()


def _end_strays(scratch: Path) -> None:
    """Kill what a zygote that was killed could not end: its ranks' own children, known by the scratch folder they inherit."""
    mark = str(scratch).encode()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (process / "environ").read_bytes():
                os.kill(int(process.name), signal.SIGKILL)


def _folder_for_launches(wall: Wall) -> Path | None:
    """Return a folder in memory, if the machine offers one: launches make and remove many small files; None: on disk.

    Not behind landlock, where ranks that start processes share /dev/shm with the rest of the machine.
    """
    return MEMORY_FOLDER if wall is not Wall.LANDLOCK and os.access(MEMORY_FOLDER, os.W_OK) else None
