"""The messages between a judge and the agents of its allocation, as msgpack."""

import msgspec

from grader.harness.agents.channel import Channel
from grader.harness.launch.remains import Remains
from grader.harness.protocol.messages import LaunchRequest
from grader.harness.protocol.wall import Wall


class Hold(msgspec.Struct, frozen=True, tag=True):
    """Judge to agent, first: keep running as long as this connection lasts."""


class Begin(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Judge to agent, first: start a zygote for this connection."""

    wall: Wall
    preload: tuple[str, ...]
    gpus: bool = False
    """Whether its ranks can use the GPUs of the machine."""


class AgentReady(msgspec.Struct, frozen=True, tag=True):
    """Agent to judge: done, and ready."""


class PartFailed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Agent to judge: that failed, through no fault of the code under test."""

    reason: str


class Meet(msgspec.Struct, frozen=True, tag=True):
    """Judge to the agent that will run rank 0: listen where all ranks will meet."""


class StoreAddress(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Agent to judge: the address where all ranks meet."""

    host: str
    port: int


class RunPart(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Judge to agent: run this part of a launch; sources and inputs are packed."""

    request: LaunchRequest
    sources: bytes
    inputs: tuple[bytes, ...]


class PartDone(msgspec.Struct, frozen=True, tag=True):
    """Agent to judge: its ranks have all returned, and wait for the other parts."""


class Leave(msgspec.Struct, frozen=True, tag=True):
    """Judge to agent: the ranks of every part have returned; let yours leave."""


class Freeze(msgspec.Struct, frozen=True, tag=True):
    """Judge to agent: stop the ranks where they are.

    All parts are stopped before the first is ended. Otherwise a rank would see its peer's connection close and report that
    as the cause of its own end.
    """


class Frozen(msgspec.Struct, frozen=True, tag=True):
    """Agent to judge: they are stopped, or have ended."""


class CutPart(msgspec.Struct, frozen=True, tag=True):
    """Judge to agent: end the ranks."""


class PartLeft(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Agent to judge: the part has ended; these are its remains."""

    remains: Remains


ToAgent = Hold | Begin | Meet | RunPart | Leave | Freeze | CutPart
FromAgent = AgentReady | PartFailed | StoreAddress | PartDone | Frozen | PartLeft

_encode = msgspec.msgpack.Encoder().encode
_to_agent: msgspec.msgpack.Decoder[ToAgent] = msgspec.msgpack.Decoder(ToAgent)
_from_agent: msgspec.msgpack.Decoder[FromAgent] = msgspec.msgpack.Decoder(FromAgent)


def send(channel: Channel, message: ToAgent | FromAgent) -> None:
    """Send one message. Raises: ChannelError."""
    channel.send(_encode(message))


def receive_from_judge(channel: Channel) -> ToAgent:
    """Wait for the judge's next message. Raises: ChannelError."""
    return _to_agent.decode(channel.receive())


def receive_from_agent(channel: Channel) -> FromAgent:
    """Wait for the agent's next message. Raises: ChannelError."""
    return _from_agent.decode(channel.receive())
