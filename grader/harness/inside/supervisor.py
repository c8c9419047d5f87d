"""The parent of one launch's ranks: forks them, lets them leave together, and reports how each ended.

A rank that has written its result waits until all others have: if it left early, it would close connections over which
others still communicate. A rank that fails leaves at once, so that its peers notice.
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
from grader.harness.protocol.messages import MAX_CONNECTING, LaunchRequest, LaunchStatus, RankExit
from grader.harness.protocol.sources import unpack_sources
from grader.harness.protocol.timeline import GRACE_AFTER_FAILURE_S
from grader.harness.protocol.wall import Wall

# A killed process ends within a few milliseconds; a child that runs longer was left behind by a rank.
GRACE_FOR_CHILDREN_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchSite:
    """Where a launch runs."""

    wall: Wall
    folder: Path
    """Holds the launch's files; removed after the launch."""

    parent: int
    """Process id of the zygote, 0 if it is not visible."""

    uid: int
    """The zygote's user id."""

    gid: int
    """The zygote's group id."""

    visible: tuple[str, ...]
    """Files and folders of the machine that ranks can read."""

    filters: Filters | None
    """Of the ranks' system calls; None without a wall."""

    has_own_network: bool
    """Only the ranks behind the wall can reach their network, and they can reach no other."""


class CutError(Exception):
    """The launch must end: the judge or the agent says so, or is gone."""


def _cut(_signal: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second signal would interrupt the clean-up
    raise CutError


class OtherParts(NamedTuple):
    """The sockets that this part shares with the other parts of its launch."""

    step: socket.socket
    """On it the parts keep step."""

    listening: socket.socket | None
    """On it rank 0 serves the store where all ranks meet, if it runs in this part."""


def supervise(
    request: LaunchRequest,
    descriptors: LaunchDescriptors,
    site: LaunchSite,
    *,
    others: OtherParts | None,
) -> None:
    """Run one launch, or one part of it, to its end; then write its LaunchStatus to the status pipe."""
    deadline = time.monotonic() + request.timeout_s
    linux.die_with_parent(site.parent)
    linux.adopt_orphans()
    os.setsid()
    _prepare_site(site, descriptors.sources, request)
    before = namespaces.loopback_traffic() if site.has_own_network else None
    launch = _RanksUnderWay(request, descriptors, site, deadline, others=others)
    with contextlib.suppress(CutError):  # the handler can raise it at any point from here on
        signal.signal(signal.SIGTERM, _cut)
        launch.start()
        launch.wait()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    launch.kill_remaining()
    orphans = linux.settle(GRACE_FOR_CHILDREN_S)
    linux.end_children()
    traffic = None if before is None else namespaces.loopback_traffic() - before
    launch_status = LaunchStatus(
        ranks=launch.exits(), orphans=orphans, folder=str(site.folder), traffic=traffic, streams=launch.streams
    )
    os.write(descriptors.status, msgspec.json.encode(launch_status))


def _prepare_site(site: LaunchSite, sources: int, request: LaunchRequest) -> None:
    """Lay out the launch's files.

    Behind the nested wall: in new namespaces, read-only. Elsewhere: next to a home folder where ranks can leave files.
    """
    if site.wall is Wall.NESTED:
        linux.set_dumpable(True)  # otherwise this process may not write its own id maps
        namespaces.make_usable(site.uid, site.gid, site.folder, with_network=site.has_own_network)
        if request.gpus:
            namespaces.mount_private_folders(site.visible)
        linux.set_dumpable(False)
    unpack_sources(frame.read_at_most(sources, os.fstat(sources).st_size)).lay_out(site.folder)
    os.close(sources)
    if site.wall is Wall.NESTED:
        namespaces.make_read_only(site.folder)
    else:
        home = site.folder / "home"
        home.mkdir()
        settle_in(home)


def _meeting_socket(request: LaunchRequest, others: OtherParts | None) -> socket.socket | None:
    """Return the socket on which rank 0 will serve the store where ranks meet; None without a meeting, or rank 0."""
    if others is not None:
        return others.listening
    return _listen() if request.process_group else None


def _listen() -> socket.socket:
    """Return a listening socket. It listens before the ranks start, so that none must try again.

    It is a network socket, not a Unix one: the kernel counts what ranks send over the network.
    """
    listening = socket.create_server(("127.0.0.1", 0), backlog=MAX_CONNECTING)
    listening.set_inheritable(True)
    return listening


class _RanksUnderWay:
    """The ranks of this launch, from their forks to their ends."""

    def __init__(
        self,
        request: LaunchRequest,
        descriptors: LaunchDescriptors,
        site: LaunchSite,
        deadline: float,
        *,
        others: OtherParts | None,
    ) -> None:
        self._request = request
        self._descriptors = dict[int, RankDescriptors](zip(request.ranks, descriptors.ranks, strict=True))
        self._site = site
        self._others = others
        self._listening = _meeting_socket(request, others)
        ranks_are_apart = site.wall is Wall.NESTED and request.ranks_are_apart
        is_followed = site.wall is Wall.NESTED and site.has_own_network and request.is_recorded
        self._connections = Connections() if is_followed else None
        self.streams: tuple[int, ...] | None = None
        self._namespaces = namespaces.make_pid_namespaces(len(request.ranks)) if ranks_are_apart else ()
        self._status = descriptors.status
        self._deadline = deadline
        self._running: dict[int, int] = {}  # pidfd -> rank
        self._gates: dict[int, tuple[int, socket.socket]] = {}  # descriptor -> rank, and our end of its gate
        self._pids: dict[int, int] = {}  # rank -> pid
        self._exits: dict[int, RankExit] = {}
        self._done: set[int] = set()
        self._has_reported_done = False
        self._poll = select.poll()

    def start(self) -> None:
        """Fork the ranks."""
        supervisor = 0 if self._namespaces else os.getpid()  # not visible from another pid namespace
        for index, rank in enumerate(self._request.ranks):
            if self._namespaces:
                self._namespaces[index].enter()
            # A gate for each rank: through the settings of a shared one, a rank could tell its peers something.
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
        if self._listening is not None:
            self._listening.close()
        if self._others is not None:
            self._poll.register(self._others.step, select.POLLIN)
        if self._site.wall is Wall.NESTED:
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
            confine_rank(self._site.wall, self._site.visible, self._site.filters, self._request)
            if run_rank(rank, self._request, own, str(self._site.folder), meeting, deadline=self._deadline):
                gate.send(b"d")
                gate.recv(1)  # returns at end of file, when every rank is done
                code = 0
        finally:
            leave(code)

    def _meeting(self, rank: int) -> Meeting | None:
        """Return where the ranks meet, None if they do not; rank 0 takes the socket, other ranks close it."""
        if not self._request.process_group:
            return None
        part = self._request.part
        if self._listening is None:
            assert part is not None
            return Meeting(part.host, part.port, None)
        host, port = self._listening.getsockname()
        if rank == 0:
            return Meeting(host, port, self._listening.detach())
        self._listening.close()
        return Meeting(host, port, None)

    def wait(self) -> None:
        """Return when every rank has ended, or GRACE_AFTER_FAILURE_S after one of them failed."""
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
        self._poll.unregister(descriptor)  # a rank says nothing more
        if gate.recv(1):
            self._done.add(rank)

    def _be_done(self) -> None:
        """Let the ranks leave; if there are other parts, report that this one is done and wait for the word to leave."""
        if self._others is None:
            self._release()
        elif not self._has_reported_done:
            self._has_reported_done = True
            self._others.step.send(parts.PART_IS_DONE)

    def _hear_others(self) -> None:
        """Do what the agent says; end the ranks if it says so or is gone."""
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
        """Kill the ranks that still run."""
        # All stop before the first is killed: else a rank could see a killed peer's connection close, and report that.
        self._signal(signal.SIGSTOP)
        self._signal(signal.SIGKILL)
        for pidfd in list(self._running):
            self._collect(pidfd, cut=True)
        for namespace in self._namespaces:
            os.kill(namespace.holder, signal.SIGKILL)
            os.waitpid(namespace.holder, 0)

    def _signal(self, to_send: signal.Signals) -> None:
        for pidfd in self._running:
            signal.pidfd_send_signal(pidfd, to_send)

    def exits(self) -> tuple[RankExit, ...]:
        """Return how each rank ended, in rank order. A rank that was never forked counts as cut."""
        never = RankExit(exit_code=-signal.SIGKILL, cut=True, max_rss_kb=0, cpu_s=0.0)
        return tuple(self._exits.get(rank, never) for rank in self._request.ranks)
