"""An agent: one runs in each task of an allocation and runs the parts of launches that a judge sends.

An agent runs no student code and stands outside every wall. Its zygotes run inside: one for each judge that connects, behind
the same wall as on the judge's own machine, except that its ranks share the job's network.
"""

import contextlib
import os
import select
import socket
import threading

from course_env.errors import LaunchError
from grader.harness.agents import dialogue
from grader.harness.agents.channel import Channel, ChannelError, Party
from grader.harness.launch.remains import Remains
from grader.harness.launch.zygote_handle import ZygoteHandle
from grader.harness.protocol.descriptors import PartDescriptors
from grader.harness.protocol.messages import MAX_CONNECTING, LaunchRequest, Network
from grader.harness.protocol.parts import END_PART, FREEZE_PART, LEAVE, PART_IS_DONE, PART_IS_FROZEN

BACKLOG = 64
HOLD_PATIENCE_S = 300.0
MAX_STRANGERS = 64
"""Connections that have not yet proved that they know the secret: ranks can connect, too."""

RETRY_S = 0.1


class Agent:
    """Listens for judges until its job's leader lets go of it."""

    def __init__(self, secret: bytes, network: Network) -> None:
        self._secret = secret
        self._network = network
        self._server = socket.create_server((network.address, 0), backlog=BACKLOG)
        self._lock = threading.Lock()
        self._sessions: dict[threading.Thread, Channel] = {}
        self._num_strangers = 0
        self._strangers = threading.BoundedSemaphore(MAX_STRANGERS)
        self._over = threading.Event()
        self._held = threading.Event()
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    @property
    def port(self) -> int:
        """Where it listens, at the address of its network."""
        return int(self._server.getsockname()[1])

    def wait(self) -> None:
        """Return when the job's leader has let go of this agent.

        Raises: LaunchError if nobody comes.
        """
        if not self._held.wait(HOLD_PATIENCE_S):
            raise LaunchError(f"No judge came for the agent on {socket.gethostname()} in {HOLD_PATIENCE_S:g} s.")
        self._over.wait()

    def close(self) -> None:
        """End every session, and with it the ranks that the session runs."""
        self._over.set()
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._server.close()
        self._accepting.join()
        with self._lock:
            sessions = dict(self._sessions)
        for thread, channel in sessions.items():
            channel.hang_up()
            thread.join()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                connection, _ = self._server.accept()
            except OSError:  # we closed it, the other end has gone already, or no descriptor is free for now
                self._over.wait(RETRY_S)
                continue
            with self._lock:
                is_full = self._num_strangers >= MAX_STRANGERS
                self._num_strangers += not is_full
            if is_full:
                connection.close()
            else:
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with Channel(connection, self._secret, Party.AGENT) as channel:
                first = dialogue.receive_from_judge(channel)  # proves that it knows the secret
                with self._lock:
                    self._sessions[threading.current_thread()] = channel
                    self._num_strangers -= 1
                if isinstance(first, dialogue.Hold):
                    self._be_held(channel)
                elif isinstance(first, dialogue.Begin):
                    self._work(channel, first)
        except ChannelError:
            pass  # the judge has gone, or it was a stranger
        finally:
            connection.close()
            with self._lock:
                if self._sessions.pop(threading.current_thread(), None) is None:
                    self._num_strangers -= 1

    def _be_held(self, channel: Channel) -> None:
        self._held.set()
        dialogue.send(channel, dialogue.AgentReady())
        try:
            dialogue.receive_from_judge(channel)
        finally:
            self._over.set()

    def _work(self, channel: Channel, begin: dialogue.Begin) -> None:
        try:
            zygote = ZygoteHandle(wall=begin.wall, preload=begin.preload, network=self._network, gpus=begin.gpus)
        except LaunchError as error:
            dialogue.send(channel, dialogue.PartFailed(reason=str(error)))
            return
        with zygote:
            try:
                zygote.wait_until_ready()
            except LaunchError as error:
                dialogue.send(channel, dialogue.PartFailed(reason=str(error)))
                return
            dialogue.send(channel, dialogue.AgentReady())
            _Session(channel, zygote, self._network).run()


class _Session:
    """One judge, and the zygote that runs its launches."""

    def __init__(self, channel: Channel, zygote: ZygoteHandle, network: Network) -> None:
        self._channel = channel
        self._zygote = zygote
        self._network = network
        self._meeting: socket.socket | None = None

    def run(self) -> None:
        """Serve the judge until it goes."""
        try:
            while True:
                match dialogue.receive_from_judge(self._channel):
                    case dialogue.Meet():
                        self._meet()
                    case dialogue.RunPart(request=request, sources=sources, inputs=inputs):
                        self._run(request, sources, inputs)
                    case _:
                        pass  # it was meant for a part that has just ended
        finally:
            self._forget_meeting()

    def _meet(self) -> None:
        self._forget_meeting()
        self._meeting = socket.create_server((self._network.address, 0), backlog=MAX_CONNECTING)
        host, port = self._meeting.getsockname()
        dialogue.send(self._channel, dialogue.StoreAddress(host=host, port=port))

    def _forget_meeting(self) -> None:
        if self._meeting is not None:
            self._meeting.close()
        self._meeting = None

    def _run(self, request: LaunchRequest, sources: bytes, inputs: tuple[bytes, ...]) -> None:
        step, part_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listening = None
        if request.listens:
            assert self._meeting is not None
            listening = self._meeting.fileno()
        with step, part_end:
            part = PartDescriptors(part_end.fileno(), listening)
            launch = _PartUnderWay(self._zygote, request, sources, inputs, part)
            try:
                self._keep_step(step, launch)
            finally:
                with contextlib.suppress(OSError):
                    step.send(END_PART)
                launch.join()
        self._forget_meeting()
        result = launch.result()
        with contextlib.suppress(LaunchError):  # the next launch will report it
            self._zygote.wait_until_ready()  # if it was killed, this launch pays for its replacement
        dialogue.send(self._channel, result)

    def _keep_step(self, step: socket.socket, launch: "_PartUnderWay") -> None:
        """Pass messages on between the part and the judge until the part has ended."""
        poll = select.poll()
        for source in (step, self._channel, launch):
            poll.register(source, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if launch.fileno() in ready:
                return
            if step.fileno() in ready:
                self._tell_judge(step.recv(1))
            if self._channel.fileno() in ready:
                self._tell_part(step, dialogue.receive_from_judge(self._channel))

    def _tell_judge(self, step: bytes) -> None:
        if step == PART_IS_DONE:
            dialogue.send(self._channel, dialogue.PartDone())
        elif step == PART_IS_FROZEN:
            dialogue.send(self._channel, dialogue.Frozen())

    def _tell_part(self, step: socket.socket, message: dialogue.ToAgent) -> None:
        steps = {dialogue.Leave: LEAVE, dialogue.Freeze: FREEZE_PART, dialogue.CutPart: END_PART}
        with contextlib.suppress(OSError):  # it has just ended
            step.send(steps[type(message)])


class _PartUnderWay:
    """A part that runs in a separate thread; its descriptor becomes readable when the part has ended."""

    def __init__(
        self,
        zygote: ZygoteHandle,
        request: LaunchRequest,
        sources: bytes,
        inputs: tuple[bytes, ...],
        part: PartDescriptors,
    ) -> None:
        self._outcome: Remains | LaunchError | None = None
        self._ended = os.eventfd(0)
        self._thread = threading.Thread(target=self._run, args=(zygote, request, sources, inputs, part))
        self._thread.start()

    def _run(
        self,
        zygote: ZygoteHandle,
        request: LaunchRequest,
        sources: bytes,
        inputs: tuple[bytes, ...],
        part: PartDescriptors,
    ) -> None:
        try:
            self._outcome = zygote.launch_packed(request, sources, inputs, part)
        except LaunchError as error:
            self._outcome = error
        finally:
            os.eventfd_write(self._ended, 1)

    def fileno(self) -> int:
        """Return the descriptor that becomes readable at the end."""
        return self._ended

    def join(self) -> None:
        """Wait for the end."""
        self._thread.join()
        os.close(self._ended)

    def result(self) -> dialogue.FromAgent:
        """Return the message to the judge about a part that has ended."""
        if isinstance(self._outcome, Remains):
            return dialogue.PartLeft(remains=self._outcome)
        return dialogue.PartFailed(reason=str(self._outcome or "The agent itself failed; see the log of its task."))
