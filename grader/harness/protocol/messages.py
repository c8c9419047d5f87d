"""The few messages that judge, zygote and supervisor exchange, as msgspec structs.

Descriptors travel with a LaunchRequest: see `protocol.descriptors`.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from grader.harness.protocol.parts import Part
from grader.harness.protocol.traffic import Traffic
from grader.harness.protocol.wall import Wall

# Ranks that may be connecting to the store at one moment: the backlog of the socket where they meet.
MAX_CONNECTING = 128
MAX_MESSAGE_BYTES = 64 << 10
MAX_ERROR_TEXT = 4000
MAX_FRAMES = 20

_Text = Annotated[str, Meta(max_length=MAX_ERROR_TEXT)]


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """The network over which ranks of several machines reach each other."""

    interface: str
    """Its name on this machine, such as eth0."""

    address: str
    """This machine's address on it."""


class ZygoteSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Judge to zygote, as its one argument."""

    control: int
    """Descriptor of the socket on which all other messages travel."""

    wall: Wall
    scratch: str
    """Folder in which launches may leave files."""

    preload: tuple[str, ...]
    """Holds "torch", or nothing."""

    visible: tuple[str, ...]
    """Files and folders of the machine that ranks can read; without a wall they can read everything."""

    network: Network | None = None
    """Where ranks meet those of other machines; None: they meet only ranks of their own launch."""


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Zygote to judge, once: everything is imported, and launches can begin."""

    pid: int
    import_s: float
    tasks: int
    """Threads of the zygote, which must be 1."""


class LaunchRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Judge to zygote: run one program on N ranks."""

    program: str
    """Name of the program's function."""

    programs_file: str | None
    """File of the course, in the sources, that has `program`; None: call the student's function that the inputs name."""

    student_file: str
    """File of the submission, in the sources, that programs call."""

    symbols: tuple[str, ...]
    """Names that the student's file must keep, for the message if one is missing."""

    world_size: int
    timeout_s: float
    seed: int
    """Each rank draws its random numbers from `seed` plus its rank."""

    process_group: bool
    """Whether ranks meet in a default process group before the program starts."""

    children: bool = False
    """Whether ranks may start processes."""

    refuses: bool = True
    """Whether the classes that the programs file refuses are closed."""

    gpus: tuple[str, ...] = ()
    """For each of `ranks`, the value for its CUDA_VISIBLE_DEVICES; empty: all compute on the CPU."""

    part: Part | None = None
    """Which ranks to run here; None: all of them."""

    @property
    def is_recorded(self) -> bool:
        """Whether ranks journal what they communicate. Not on NCCL: torch coalesces messages only in its own groups."""
        return self.process_group and not self.gpus

    @property
    def ranks_are_apart(self) -> bool:
        """Whether each rank has its own processes, terminals and memory files, if the wall can separate them.

        A rank's children need each other's. So do ranks on NCCL, which learns from them which ranks share a machine.
        """
        return not self.children and not self.gpus

    @property
    def ranks(self) -> range:
        """The ranks to run here."""
        if self.part is None:
            return range(self.world_size)
        return range(self.part.first_rank, self.part.first_rank + self.part.num_ranks)

    @property
    def listens(self) -> bool:
        """Whether the ranks of several parts meet at a rank of this part."""
        return self.part is not None and self.process_group and 0 in self.ranks

    @property
    def local_ranks(self) -> range:
        """The local ranks of `ranks`: their ranks among those on this machine."""
        first = 0 if self.part is None else self.part.first_local_rank
        return range(first, first + len(self.ranks))

    @property
    def local_world_size(self) -> int:
        """How many ranks of the launch this machine runs."""
        return self.world_size if self.part is None else self.part.local_world_size


class Cut(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Judge to zygote: end the launch under way."""


class LaunchEnded(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Zygote to judge: the launch is over, and no process of it is left."""

    supervisor_exit_code: int


class RankExit(msgspec.Struct, frozen=True, kw_only=True):
    """How one rank ended."""

    exit_code: int
    """Negative: the signal that ended it."""

    cut: bool
    """The supervisor ended it."""

    max_rss_kb: int
    cpu_s: float


class LaunchStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Supervisor to judge, on the status pipe: what only the parent of the ranks can know."""

    ranks: tuple[RankExit, ...]
    orphans: int
    """Number of processes that ranks left behind."""

    folder: str
    """Where the sources lay."""

    traffic: Traffic | None
    """What the network behind the wall carried during the launch; None if ranks were on the machine's network."""

    streams: tuple[int, ...] | None
    """Bytes that each end of each connection in that network had sent when the ranks left together.

    Without headers, the largest first. None if the ranks never left together, or nothing followed their connections.
    """


class SourceLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a traceback."""

    file: _Text
    line: int
    function: _Text
    text: _Text


class RankError(msgspec.Struct, frozen=True, kw_only=True):
    """What a rank reports instead of a value. The rank wrote it, so it is shown to people and never trusted."""

    phase: _Text
    """What the rank was doing: one of "start", "import", "program" and "result"."""

    type: _Text
    message: _Text
    frames: Annotated[tuple[SourceLine, ...], Meta(max_length=MAX_FRAMES)]
