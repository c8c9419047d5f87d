"""The judge's end of an allocation: a launcher whose ranks are spread over agents."""

import contextlib
import select
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self, TypeVar

import msgspec

from course_env.devices import Gpu
from course_env.errors import LaunchError
from grader.harness.agents import dialogue
from grader.harness.agents.channel import Channel, ChannelError, Party
from grader.harness.agents.roster import Member
from grader.harness.launch.launcher import pack_inputs
from grader.harness.launch.remains import Remains
from grader.harness.protocol.messages import LaunchRequest, LaunchStatus
from grader.harness.protocol.parts import Part
from grader.harness.protocol.sources import Sources, pack_sources
from grader.harness.protocol.timeline import CUT_AFTER_S, GRACE_AFTER_FAILURE_S, PART_LATER_S, SECONDS_TO_END
from grader.harness.protocol.wall import Wall

CONNECT_S = 5.0
ZYGOTES_START_S = 90.0
FREEZE_S = 1.0

_Message = TypeVar("_Message", bound=dialogue.FromAgent)


def split(world_size: int, members: Sequence[Member]) -> list[tuple[Member, range]]:
    """Return which member runs which ranks: consecutive ranks, on as many members as possible.

    Members come in the order of their tasks, so neighbours share a machine.
    """
    owners = [rank * len(members) // world_size for rank in range(world_size)]
    return [
        (members[owner], range(owners.index(owner), world_size - owners[::-1].index(owner)))
        for owner in sorted(set(owners))
    ]


def _parts(shares: Sequence[tuple[Member, range]], store: dialogue.StoreAddress) -> list[Part]:
    """Return the parts of a launch whose ranks are shared so, and meet at `store`."""
    on_node: dict[str, int] = {}
    firsts = []
    for member, ranks in shares:
        firsts.append(on_node.setdefault(member.node, 0))
        on_node[member.node] += len(ranks)
    return [
        Part(
            first_rank=ranks.start,
            num_ranks=len(ranks),
            first_local_rank=first,
            local_world_size=on_node[member.node],
            host=store.host,
            port=store.port,
        )
        for (member, ranks), first in zip(shares, firsts, strict=True)
    ]


class Team:
    """The agents of an allocation as one launcher; each has a zygote for this judge alone.

    Raises: LaunchError if an agent cannot be reached.
    """

    def __init__(
        self, members: Sequence[Member], secret: bytes, *, wall: Wall, preload: Sequence[str], gpus: bool = False
    ) -> None:
        self._members = tuple(members)
        self._secret = secret
        self._begin = dialogue.Begin(wall=wall, preload=tuple(preload), gpus=gpus)
        self._agents: tuple[_AgentConnection, ...] = ()
        self._ready = False
        self._connect()

    def _connect(self) -> None:
        """Have every agent start a zygote, all at the same time."""
        with contextlib.ExitStack() as opened:
            agents = tuple(opened.enter_context(_AgentConnection(member, self._secret)) for member in self._members)
            for agent in agents:
                agent.send(self._begin)
            opened.pop_all()
        self._agents, self._ready = agents, False

    def close(self) -> None:
        """End the zygotes of this judge."""
        for agent in self._agents:
            agent.close()
        self._agents = ()

    def gpus_seen(self, world_size: int) -> Sequence[Sequence[Gpu]]:
        """Return, by rank, the GPUs of the task that would run it."""
        return [member.gpus for member, ranks in split(world_size, self._members) for _ in ranks]

    def wait_until_ready(self) -> None:
        """Return when every agent has a zygote.

        Raises: LaunchError if an agent cannot start its zygote.
        """
        if not self._agents:  # an agent has gone, or Ctrl-C or a test's time-out abandoned a launch
            self._connect()
        if not self._ready:
            end = time.monotonic() + ZYGOTES_START_S
            try:
                for agent in self._agents:
                    agent.expect(dialogue.AgentReady, end)
            except BaseException:
                self.close()
                raise
        self._ready = True

    def launch(self, request: LaunchRequest, sources: Sources, inputs: Sequence[Mapping[str, Any]]) -> Remains:
        """Run `request` with one dict of arguments per rank, and return what is left when no process of it is.

        Raises: LaunchError if an agent cannot run its part, or has gone.
        """
        packed, packed_inputs = pack_sources(sources), pack_inputs(inputs)
        self.wait_until_ready()
        start = time.monotonic()
        try:
            launch = self._start(request, packed, packed_inputs)
            launch.wait()
        except BaseException:
            self.close()
            raise
        return _joined(request, launch, seconds=time.monotonic() - start)

    def _start(self, request: LaunchRequest, sources: bytes, inputs: Sequence[bytes]) -> "_PartsUnderWay":
        """Send every agent its part."""
        agents = {agent.member.task: agent for agent in self._agents}
        shares = split(request.world_size, self._members)
        store = agents[shares[0][0].task].meet() if request.process_group else dialogue.StoreAddress(host="", port=0)
        for (member, ranks), part in zip(shares, _parts(shares, store), strict=True):
            own = tuple(inputs[rank] for rank in ranks)
            gpus = request.gpus[ranks.start : ranks.stop]
            request_of_part = msgspec.structs.replace(request, part=part, gpus=gpus)
            agents[member.task].send(dialogue.RunPart(request=request_of_part, sources=sources, inputs=own))
        return _PartsUnderWay([agents[member.task] for member, _ in shares], time.monotonic() + request.timeout_s)


class _AgentConnection:
    """A judge's connection to one agent."""

    def __init__(self, member: Member, secret: bytes) -> None:
        self.member = member
        try:
            connection = socket.create_connection((member.host, member.port), timeout=CONNECT_S)
        except OSError as error:
            raise self.trouble(f"cannot be reached: {error}") from None
        try:
            self._channel = Channel(connection, secret, Party.JUDGE)
        except ChannelError as error:
            connection.close()
            raise self.trouble(f"does not answer: {error}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._channel.close()

    def fileno(self) -> int:
        return self._channel.fileno()

    def trouble(self, what: str) -> LaunchError:
        return LaunchError(f"The agent of task {self.member.task}, on {self.member.node}, {what}.")

    def send(self, message: dialogue.ToAgent) -> None:
        try:
            dialogue.send(self._channel, message)
        except ChannelError as error:
            raise self.trouble(f"has gone: {error}") from None

    def receive(self) -> dialogue.FromAgent:
        try:
            return dialogue.receive_from_agent(self._channel)
        except ChannelError as error:
            raise self.trouble(f"has gone: {error}") from None

    def expect(self, kind: type[_Message], end: float) -> _Message:
        """Return the agent's next message, which must be of this kind and arrive before `end`."""
        if not select.select([self], [], [], max(0.0, end - time.monotonic()))[0]:
            raise self.trouble("does not answer")
        message = self.receive()
        if isinstance(message, dialogue.PartFailed):
            raise LaunchError(f"On {self.member.node}: {message.reason}")
        assert isinstance(message, kind), message
        return message

    def meet(self) -> dialogue.StoreAddress:
        self.send(dialogue.Meet())
        return self.expect(dialogue.StoreAddress, time.monotonic() + CONNECT_S)


class _PartsUnderWay:
    """The parts of one launch under way."""

    def __init__(self, agents: Sequence[_AgentConnection], deadline: float) -> None:
        self._agents = {agent.fileno(): agent for agent in agents}
        self._order = list(agents)
        self._deadline = deadline + CUT_AFTER_S
        self._open = set(self._agents)
        self._frozen: set[int] = set()
        self._done: set[int] = set()
        self._left: dict[int, Remains] = {}
        self.deadline_passed = False

    @property
    def remains(self) -> list[tuple[Member, Remains]]:
        """What the parts have left, in the order of their ranks."""
        return [(agent.member, self._left[agent.fileno()]) for agent in self._order]

    def wait(self) -> None:
        """Return when all parts have ended.

        Raises: LaunchError if one cannot be run, or does not end.
        """
        end = self._deadline
        while self._open and time.monotonic() < end:
            before = len(self._left)
            self._hear(end)
            if self._open and self._done >= set(self._agents):
                self._tell(dialogue.Leave())
                self._done.clear()
            if len(self._left) > before == 0 and self._open and self._has_failed():
                end = min(end, time.monotonic() + GRACE_AFTER_FAILURE_S)
        self.deadline_passed = bool(self._open) and end == self._deadline
        if self._open:
            self._cut()

    def _has_failed(self) -> bool:
        """Return whether a part ended early: before the ranks of all parts were done."""
        statuses = (remains.status for remains in self._left.values())
        return any(status is None or any(rank.exit_code for rank in status.ranks) for status in statuses)

    def _cut(self) -> None:
        """End the parts that still run, all at one moment."""
        self._tell(dialogue.Freeze())
        end = time.monotonic() + FREEZE_S
        while self._open - self._frozen and time.monotonic() < end:
            self._hear(end)
        self._tell(dialogue.CutPart())
        end = time.monotonic() + PART_LATER_S + 2 * SECONDS_TO_END
        while self._open:
            if time.monotonic() >= end:
                raise self._agents[min(self._open)].trouble("does not answer")
            self._hear(end)

    def _tell(self, message: dialogue.ToAgent) -> None:
        for descriptor in self._open:
            self._agents[descriptor].send(message)

    def _hear(self, end: float) -> None:
        """Receive from agents until `end`, or until at least one has sent a message."""
        ready, _, _ = select.select(list(self._open), [], [], max(0.0, end - time.monotonic()))
        for descriptor in ready:
            agent = self._agents[descriptor]
            match agent.receive():
                case dialogue.PartDone():
                    self._done.add(descriptor)
                case dialogue.Frozen():
                    self._frozen.add(descriptor)
                case dialogue.PartLeft(remains=remains):
                    self._left[descriptor] = remains
                    self._open.discard(descriptor)
                case dialogue.PartFailed(reason=reason):
                    raise LaunchError(f"On {agent.member.node}: {reason}")
                case other:
                    raise agent.trouble(f"says {type(other).__name__} in the middle of a launch")


def _joined(request: LaunchRequest, launch: _PartsUnderWay, *, seconds: float) -> Remains:
    """Return the remains of a whole launch."""
    parts = [remains for _, remains in launch.remains]
    ranks = [replace(rank, node=member.node) for member, remains in launch.remains for rank in remains.ranks]
    return Remains(
        request=request,
        ranks=tuple(ranks),
        status=_joined_status([part.status for part in parts]),
        deadline_passed=launch.deadline_passed or any(part.deadline_passed for part in parts),
        flooded=any(part.flooded for part in parts),
        zygote_died=any(part.zygote_died for part in parts),
        supervisor_failed=any(part.supervisor_failed for part in parts),
        seconds=seconds,
        refused_bytes=max(part.refused_bytes for part in parts),
    )


def _joined_status(statuses: Sequence[LaunchStatus | None]) -> LaunchStatus | None:
    """Return how all ranks ended, if every part reported it. What a shared network carried is unknown."""
    known = [status for status in statuses if status is not None]
    if len(known) < len(statuses):
        return None
    return LaunchStatus(
        ranks=tuple(exited for status in known for exited in status.ranks),
        orphans=sum(status.orphans for status in known),
        folder=known[0].folder,
        traffic=None,
        streams=None,
    )
