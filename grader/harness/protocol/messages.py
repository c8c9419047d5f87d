"""The few messages that judge, zygote and supervisor exchange, as msgspec structs.

Descriptors travel beside a LaunchRequest in this order: the status pipe, then for each rank its inputs, result, journal,
stacks (memory files) and log (a pipe).
"""

import msgspec

MAX_MESSAGE_BYTES = 64 << 10
DESCRIPTORS_PER_RANK = 5


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Zygote to judge, once: everything is imported, launches may come."""

    pid: int
    import_s: float
    tasks: int


class LaunchRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Judge to zygote: run one program on N ranks. Paths are as the ranks see them."""

    program: str
    programs_file: str | None
    submission_folder: str
    student_file: str
    symbols: tuple[str, ...]
    world_size: int
    timeout_s: float
    seed: int
    process_group: bool


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
    """Supervisor to judge, on the status pipe: what only the ranks' parent can know."""

    ranks: tuple[RankExit, ...]
    orphans: int


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
