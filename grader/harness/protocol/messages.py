"""The few messages that judge, zygote and supervisor exchange, as msgspec structs.

Descriptors travel with a LaunchRequest: see `protocol.descriptors`.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from grader.harness.protocol.parts import Part
from grader.harness.protocol.traffic import Traffic
from grader.harness.protocol.wall import Wall

MAX_MESSAGE_BYTES = 64 << 10
MAX_TEXT = 4000
MAX_FRAMES = 20

_Text = Annotated[str, Meta(max_length=MAX_TEXT)]


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """The network that a machine shares with others, over which ranks of several machines reach each other."""

    interface: str
    address: str


class ZygoteSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Judge to zygote, as its one argument.

    control: descriptor of the socket on which everything else travels
    scratch: folder in which launches may leave files
    preload: "torch", or nothing
    visible: files and folders of the machine that ranks can read; without a wall they read everything
    network: whose ranks meet those of other machines; None: they stay among themselves
    """

    control: int
    wall: Wall
    scratch: str
    preload: tuple[str, ...]
    visible: tuple[str, ...]
    network: Network | None = None


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Zygote to judge, once: everything is imported, launches may come."""

    pid: int
    import_s: float
    tasks: int


class LaunchRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Judge to zygote: run one program on N ranks. Files are names in the sources that travel beside it.

    programs_file: where `program` is; None calls the student's function of that name
    children: whether ranks may start processes
    gpus: by rank that is to be run here, what to put into CUDA_VISIBLE_DEVICES; empty: all compute on the CPU
    part: which ranks; None: all of them
    """

    program: str
    programs_file: str | None
    student_file: str
    symbols: tuple[str, ...]
    world_size: int
    timeout_s: float
    seed: int
    process_group: bool
    children: bool = False
    gpus: tuple[str, ...] = ()
    part: Part | None = None

    @property
    def is_recorded(self) -> bool:
        """Whether ranks journal what they communicate: torch coalesces NCCL's messages only in groups of its own type."""
        return self.process_group and not self.gpus

    @property
    def ranks_are_apart(self) -> bool:
        """Whether each rank is alone with its processes, terminals and memory files, where there is a wall.

        A rank's children need each other; so do ranks under NCCL, which finds out by them who shares a machine.
        """
        return not self.children and not self.gpus

    @property
    def ranks(self) -> range:
        """The ranks that are to be run here."""
        if self.part is None:
            return range(self.world_size)
        return range(self.part.first_rank, self.part.first_rank + self.part.num_ranks)

    @property
    def listens(self) -> bool:
        """Whether all ranks of several parts meet at a rank of this one."""
        return self.part is not None and self.process_group and 0 in self.ranks

    @property
    def local_ranks(self) -> range:
        """The numbers that these ranks have on this machine."""
        first = 0 if self.part is None else self.part.first_local_rank
        return range(first, first + len(self.ranks))

    @property
    def local_world_size(self) -> int:
        """How many ranks of the launch this machine runs."""
        return self.world_size if self.part is None else self.part.local_world_size


class Cut(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Judge to zygote: end the launch that is under way."""


class LaunchEnded(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Zygote to judge: the launch is over, no process of it is left."""

    supervisor_exit_code: int


class RankExit(msgspec.Struct, frozen=True, kw_only=True):
    """How one rank ended: a negative code is the signal that ended it."""

    exit_code: int
    cut: bool
    max_rss_kb: int
    cpu_s: float


class LaunchStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Supervisor to judge, on the status pipe: what only the ranks' parent can know.

    orphans: processes that ranks left behind
    folder: where the sources lay
    traffic: what the launch's own network carried; None where it had none of its own
    streams: bytes that each end of each connection in it had sent when every rank was done, without headers, the most
        first; None if that did not come to pass, or the network was not its own
    """

    ranks: tuple[RankExit, ...]
    orphans: int
    folder: str
    traffic: Traffic | None
    streams: tuple[int, ...] | None


class SourceLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a traceback."""

    file: _Text
    line: int
    function: _Text
    text: _Text


class RankError(msgspec.Struct, frozen=True, kw_only=True):
    """What a rank reports instead of a value. Written in the rank, so shown to people and never trusted."""

    phase: _Text
    type: _Text
    message: _Text
    frames: Annotated[tuple[SourceLine, ...], Meta(max_length=MAX_FRAMES)]
