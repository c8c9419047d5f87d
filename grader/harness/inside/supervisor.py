"""The parent of one launch's ranks: forks them, lets them leave together, and tells how each ended.

A rank that has written its result waits until every other rank has, too: one that left early would close its
connections under those that still communicate. A rank that fails leaves at once, so that its peers notice.
"""

import contextlib
import os
import select
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import msgspec

from grader.harness.inside import linux, namespaces
from grader.harness.inside.confine import Filters, confine_rank, settle_in
from grader.harness.inside.connections import Connections
from grader.harness.inside.rank import Meeting, leave, restore_signals, run_rank
from grader.harness.protocol import frame, parts
from grader.harness.protocol.descriptors import LaunchDescriptors, RankDescriptors
from grader.harness.protocol.messages import LaunchRequest, LaunchStatus, RankExit
from grader.harness.protocol.sources import unpack_sources
from grader.harness.protocol.timeline import GRACE_AFTER_FAILURE_S
from grader.harness.protocol.wall import Wall

# A killed child is gone within a few milliseconds; what runs longer was left behind.
GRACE_FOR_CHILDREN_S = 0.1
MAX_CONNECTING = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchSite:
    """Where a launch runs.

    folder: holds its files, and is gone after it
    parent: process id of the zygote, 0 where it is not visible
    uid, gid: the zygote's
    visible: files and folders of the machine that ranks can read
    filters: of their system calls
    has_own_network: which only ranks of this launch can reach, and nothing else from there
    """

    wall: Wall
    folder: Path
    parent: int
    uid: int
    gid: int
    visible: tuple[str, ...]
    filters: Filters | None
    has_own_network: bool


class CutError(Exception):
    """The judge asked for the end of this launch."""


def _cut(_signal: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: a second one would interrupt the end
    raise CutError


class OtherParts(NamedTuple):
    """What a part of a launch has in common with the other parts.

    step: socket on which the parts keep step
    listening: where the ranks of all parts meet, if rank 0 is in this one
    """

    step: socket.socket
    listening: socket.socket | None


def supervise(
    request: LaunchRequest,
    descriptors: LaunchDescriptors,
    place: LaunchSite,
    *,
    others: OtherParts | None,
) -> None:
    """Run one launch, or one part of it, to its end; then write its LaunchStatus to the status pipe."""
    deadline = time.monotonic() + request.timeout_s
    linux.die_with_parent(place.parent)
    linux.adopt_orphans()
    os.setsid()
    _furnish(place, descriptors.sources, request)
    before = namespaces.loopback_traffic() if place.has_own_network else None
    launch = _RanksUnderWay(request, descriptors, place, deadline, others=others)
    with contextlib.suppress(CutError):  # which can be raised wherever the handler is in place
        signal.signal(signal.SIGTERM, _cut)
        launch.start()
        launch.wait()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    launch.kill_remaining()
    orphans = linux.settle(GRACE_FOR_CHILDREN_S)
    linux.end_children()
    traffic = None if before is None else namespaces.loopback_traffic() - before
    told = LaunchStatus(
        ranks=launch.exits(), orphans=orphans, folder=str(place.folder), traffic=traffic, streams=launch.streams
    )
    os.write(descriptors.status, msgspec.json.encode(told))


def _furnish(place: LaunchSite, sources: int, request: LaunchRequest) -> None:
    """Lay out the launch's files, and give it namespaces to live in or a folder to leave files in."""
    if place.wall is Wall.NESTED:
        linux.set_dumpable(True)  # the kernel lets nobody else write its id maps
        namespaces.make_usable(place.uid, place.gid, place.folder, with_network=place.has_own_network)
        if request.gpus:
            namespaces.mount_private_folders(place.visible)
        linux.set_dumpable(False)
    unpack_sources(frame.read_at_most(sources, os.fstat(sources).st_size)).lay_out(place.folder)
    os.close(sources)
    if place.wall is Wall.NESTED:
        namespaces.make_read_only(place.folder)
    else:
        home = place.folder / "home"
        home.mkdir()
        settle_in(home)


def _rendezvous(request: LaunchRequest, others: OtherParts | None) -> socket.socket | None:
    """Return the socket on which rank 0 will serve the store where ranks meet, if they meet and rank 0 is here."""
    if others is not None:
        return others.listening
    return _listen() if request.process_group else None


def _listen() -> socket.socket:
    """Return a socket that listens before there are ranks, so that none has to try again; over the network, because the kernel counts there."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=MAX_CONNECTING)
    listening.set_inheritable(True)
    return listening


class _RanksUnderWay:
    """The ranks under way."""

    def __init__(
        self,
        request: LaunchRequest,
        descriptors: LaunchDescriptors,
        place: LaunchSite,
        deadline: float,
        *,
        others: OtherParts | None,
    ) -> None:
        self._request = request
        self._descriptors = dict[int, RankDescriptors](zip(request.ranks, descriptors.ranks, strict=True))
        self._place = place
        self._others = others
        self._rendezvous = _rendezvous(request, others)
        is_alone = place.wall is Wall.NESTED and request.ranks_are_apart
        follows = place.wall is Wall.NESTED and place.has_own_network and request.is_recorded
        self._connections = Connections() if follows else None
        self.streams: tuple[int, ...] | None = None
        self._namespaces = namespaces.make_pid_namespaces(len(request.ranks)) if is_alone else ()
        self._status = descriptors.status
        self._deadline = deadline
        self._running: dict[int, int] = {}  # pidfd -> rank
        self._gates: dict[int, tuple[int, socket.socket]] = {}  # descriptor -> rank, and the socket it leaves by
        self._pids: dict[int, int] = {}  # rank -> pid
        self._exits: dict[int, RankExit] = {}
        self._done: set[int] = set()
        self._has_told_others = False
        self._poll = select.poll()

    def start(self) -> None:
        supervisor = 0 if self._namespaces else os.getpid()  # not visible from a pid namespace of a rank's own
        for number, rank in enumerate(self._request.ranks):
            if self._namespaces:
                self._namespaces[number].enter()
            # A gate for each: of one that they shared, a rank could tell its peers something by the settings.
            gate, inner = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            pid = os.fork()
            if pid == 0:
                gate.close()
                self._be_rank(rank, supervisor, inner)
            inner.close()
            self._pids[rank] = pid
            pidfd = os.pidfd_open(pid)
            self._running[pidfd] = rank
            self._gates[gate.fileno()] = (rank, gate)
            self._poll.register(pidfd, select.POLLIN)
            self._poll.register(gate, select.POLLIN)
        for descriptors in self._descriptors.values():
            for descriptor in descriptors:
                os.close(descriptor)
        if self._rendezvous is not None:
            self._rendezvous.close()
        if self._others is not None:
            self._poll.register(self._others.step, select.POLLIN)
        if self._place.wall is Wall.NESTED:
            namespaces.drop_capabilities()

    def _be_rank(self, rank: int, supervisor: int, gate: socket.socket) -> None:
        code = 1
        try:
            restore_signals()
            linux.die_with_parent(supervisor)
            entrances = (namespace.descriptor for namespace in self._namespaces)
            watching = () if self._connections is None else self._connections.descriptors()
            for descriptor in (self._status, *self._running, *self._gates, *entrances, *watching):
                os.close(descriptor)
            if self._others is not None:
                self._others.step.close()
            own = self._descriptors[rank]
            for descriptors in self._descriptors.values():
                if descriptors is not own:
                    for descriptor in descriptors:
                        os.close(descriptor)
            meeting = self._meeting(rank)
            confine_rank(self._place.wall, self._place.visible, self._place.filters, self._request)
            if run_rank(rank, self._request, own, str(self._place.folder), meeting, deadline=self._deadline):
                gate.send(b"d")
                gate.recv(1)  # returns at end of file, when every rank is done
                code = 0
        finally:
            leave(code)

    def _meeting(self, rank: int) -> Meeting | None:
        """Return where the ranks meet; only rank 0 keeps the socket."""
        if not self._request.process_group:
            return None
        part = self._request.part
        if self._rendezvous is None:
            assert part is not None
            return Meeting(part.host, part.port, None)
        host, port = self._rendezvous.getsockname()
        if rank == 0:
            return Meeting(host, port, self._rendezvous.detach())
        self._rendezvous.close()
        return Meeting(host, port, None)

    def wait(self) -> None:
        """Return when every rank has ended, or some grace after one of them died."""
        end = None
        while self._running:
            patience_ms = None if end is None else max(0.0, 1000 * (end - time.monotonic()))
            for descriptor, _ in self._poll.poll(patience_ms):
                if descriptor in self._running:
                    self._collect(descriptor, cut=False)
                elif self._others is not None and descriptor == self._others.step.fileno():
                    self._hear_others()
                else:
                    self._hear(descriptor)
            if self._gates and self._done.issuperset(self._running.values()):
                self._be_done()
            if end is None and any(exited.exit_code != 0 for exited in self._exits.values()):
                end = time.monotonic() + GRACE_AFTER_FAILURE_S
            if end is not None and time.monotonic() >= end:
                return

    def _hear(self, descriptor: int) -> None:
        rank, gate = self._gates[descriptor]
        self._poll.unregister(descriptor)  # it has nothing to say after that
        if gate.recv(1):
            self._done.add(rank)

    def _be_done(self) -> None:
        """Let the ranks leave, as soon as those of the other parts may, too."""
        if self._others is None:
            self._release()
        elif not self._has_told_others:
            self._has_told_others = True
            self._others.step.send(parts.PART_IS_DONE)

    def _hear_others(self) -> None:
        """Do what whoever runs the other parts says; end the ranks if there is nobody any more."""
        assert self._others is not None
        match self._others.step.recv(1):
            case parts.LEAVE:
                self._release()
            case parts.FREEZE_PART:
                self._signal(signal.SIGSTOP)
                self._others.step.send(parts.PART_IS_FROZEN)
            case _:
                raise CutError

    def _release(self) -> None:
        if self._connections is not None:
            self.streams = self._connections.streams(namespaces.loopback_traffic())
        for _, gate in self._gates.values():
            gate.close()
        self._gates.clear()

    def _collect(self, pidfd: int, *, cut: bool) -> None:
        rank = self._running.pop(pidfd)
        self._poll.unregister(pidfd)
        os.close(pidfd)
        _, state, usage = os.wait4(self._pids[rank], 0)
        self._exits[rank] = RankExit(
            exit_code=os.waitstatus_to_exitcode(state),
            cut=cut,
            max_rss_kb=usage.ru_maxrss,
            cpu_s=usage.ru_utime + usage.ru_stime,
        )

    def kill_remaining(self) -> None:
        """End the ranks that still run, whatever they are doing."""
        # All stop before the first is killed: a rank must not see its peer's connection close and report that as its end.
        self._signal(signal.SIGSTOP)
        self._signal(signal.SIGKILL)
        for pidfd in list(self._running):
            self._collect(pidfd, cut=True)
        for namespace in self._namespaces:
            os.kill(namespace.holder, signal.SIGKILL)
            os.waitpid(namespace.holder, 0)

    def _signal(self, number: signal.Signals) -> None:
        for pidfd in self._running:
            signal.pidfd_send_signal(pidfd, number)

    def exits(self) -> tuple[RankExit, ...]:
        """How each rank ended, in rank order. A rank that was never forked counts as cut."""
        never = RankExit(exit_code=-signal.SIGKILL, cut=True, max_rss_kb=0, cpu_s=0.0)
        return tuple(self._exits.get(rank, never) for rank in self._request.ranks)
