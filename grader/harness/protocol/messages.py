"""The few messages that judge, zygote and supervisor exchange, as msgspec structs.

Descriptors travel beside a LaunchRequest in this order: the status pipe, the sources (a memory file), then for each rank
its inputs, result, journal, stacks (memory files) and log (a pipe).
"""

import msgspec

from grader.harness.protocol.wall import Wall

MAX_MESSAGE_BYTES = 64 << 10
DESCRIPTORS_PER_RANK = 5


class ZygoteSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Judge to zygote, as its one argument.

    control: descriptor of the socket on which everything else travels
    scratch: folder in which launches may leave files
    preload: "torch", or nothing
    visible: files and folders of the machine that ranks can read; without a wall they read everything
    """

    control: int
    wall: Wall
    scratch: str
    preload: tuple[str, ...]
    visible: tuple[str, ...]


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Zygote to judge, once: everything is imported, launches may come."""

    pid: int
    import_s: float
    tasks: int


class LaunchRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Judge to zygote: run one program on N ranks. Files are names in the sources that travel beside it.

    programs_file: where `program` is; None calls the student's function of that name
    children: whether ranks may start processes
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


class Cut(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Judge to zygote: end the launch that is under way."""


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag=True):
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
    loopback_bytes: what the launch's own network carried, by the kernel's count; None where it had no network of its own
    """

    ranks: tuple[RankExit, ...]
    orphans: int
    folder: str
    loopback_bytes: int | None


class SourceLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a traceback."""

    file: str
    line: int
    function: str
    text: str


class RankError(msgspec.Struct, frozen=True, kw_only=True):
    """What a rank reports instead of a value. Written in the rank, so shown to people and never trusted."""

    phase: str
    type: str
    message: str
    frames: tuple[SourceLine, ...]
