"""What a judge and the agents of its allocation say to each other, as msgpack."""

import msgspec

from grader.harness.agents.channel import Channel
from grader.harness.launch.remains import Remains
from grader.harness.protocol.messages import LaunchRequest
from grader.harness.protocol.wall import Wall


class Hold(msgspec.Struct, frozen=True, tag=True):
    """To an agent, first: be there as long as this connection is."""


class Begin(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """To an agent, first: start a zygote for this connection; `gpus`: one whose ranks can use those of the machine."""

    wall: Wall
    preload: tuple[str, ...]
    gpus: bool = False


class AgentReady(msgspec.Struct, frozen=True, tag=True):
    """From an agent: it is as was asked."""


class PartFailed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """From an agent: that could not be done, through no fault of the code under test."""

    reason: str


class Meet(msgspec.Struct, frozen=True, tag=True):
    """To the agent that will run rank 0: have a place ready where all ranks meet."""


class StoreAddress(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """From that agent: there."""

    host: str
    port: int


class RunPart(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """To an agent: run this part of a launch, whose sources and inputs are packed."""

    request: LaunchRequest
    sources: bytes
    inputs: tuple[bytes, ...]


class PartDone(msgspec.Struct, frozen=True, tag=True):
    """From an agent: its ranks have all returned, and wait for the others."""


class Leave(msgspec.Struct, frozen=True, tag=True):
    """To an agent: all others have returned, too."""


class Freeze(msgspec.Struct, frozen=True, tag=True):
    """To an agent: stop the ranks where they are.

    All are stopped before the first is ended: a rank must not see its peer's connection close and report that as its end.
    """


class Frozen(msgspec.Struct, frozen=True, tag=True):
    """From an agent: they are stopped, or have ended."""


class CutPart(msgspec.Struct, frozen=True, tag=True):
    """To an agent: end the ranks."""


class PartLeft(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """From an agent: the part has ended, and this is left of it."""

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
