"""What an exception that a rank reported says to the student, and what kind of mistake it is."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from grader.harness.launch.remains import Remains
from grader.harness.mistake import Mistake
from grader.harness.protocol.messages import RankError, SourceLine

# Ranks have no terminal.
NOBODY_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "BdbQuit": " (nobody can type at a breakpoint here: remove breakpoint() or pdb.set_trace(), or print instead)",
        "EOFError": " (if this is from input(): nobody can type an answer here, so remove it)",
    }
)

# What gloo says on a rank whose peer has ended, which is never the cause.
ECHO = re.compile(
    r"Connection (closed by peer|reset by peer|refused)|Broken pipe|Socket closed|Application timeout caused pair closure"
    r"|Connect(ion)? (timeout|error)|failed to connect",
    re.IGNORECASE,
)
# What torch says too briefly, with what it means.
EXPLAINED: tuple[tuple[str, str, Mistake], ...] = (
    (
        "modified by an inplace operation",
        "Backward needs a tensor that was written to after forward. Write to a copy.",
        Mistake.INPLACE,
    ),
    (
        "does not require grad and does not have a grad_fn",
        "Backward was called on a value without a graph: a constant, or one that was detached or computed under no_grad().",
        Mistake.NO_GRAPH,
    ),
    (
        "view size is not compatible with input tensor's size and stride",
        "A tensor that is transposed or cut out of another has strides, and view() copies nothing. reshape() copies where it must.",
        Mistake.STRIDES,
    ),
    (
        "tensor has to be contiguous",
        "Only contiguous memory is sent or received: pass x.contiguous(), or a new tensor.",
        Mistake.STRIDES,
    ),
    (
        "is not part of group",
        "A root, or the other end of a message, is a member of the group: src and dst by global rank, group_src by its own.",
        Mistake.PEER,
    ),
    (
        "Invalid scalar type",
        "gloo takes no tensor of this dtype. It takes float16, float32, float64, bfloat16, int8, uint8, int32 and int64.",
        Mistake.DTYPE,
    ),
)
OF_THE_RANK_SIDE: Mapping[str, Mistake] = MappingProxyType(
    {"PeerError": Mistake.PEER, "LibraryClassError": Mistake.LIBRARY, "SystemExit": Mistake.EXIT}
)
LOST_CONNECTION = "With these words gloo says that the rank at the other end has ended, or has closed the connection."


def is_echo(error: RankError) -> bool:
    """Return whether an error only says that another rank has ended."""
    return bool(ECHO.search(error.message))


def error_text(rank: int, error: RankError, remains: Remains) -> str:
    """Return who raised what, and at which lines."""
    if error.type == "MissingSymbolError":
        return error.message
    who = name_of(rank, remains)
    what = f"{error.type}: {error.message}" if error.message else error.type
    what += NOBODY_TYPES.get(error.type, "")
    frames = "\n".join(f"  {_line_text(line)}\n    {line.text}" for line in error.frames)
    if error.phase == "import":
        head = f"{remains.request.student_file} cannot be imported: {what}"
    elif error.phase == "result":
        head = f"{who} returned something that cannot be judged: {error.message}"
    elif error.type == "SystemExit":
        head = f"{who} called sys.exit({error.message}) instead of returning."
    elif error.type == "PeerError":
        head = f"{who} {error.message}"
    elif error.type == "LibraryClassError":
        head = f"{who} was stopped: {error.message}"
    elif (explained := _explained(error)) is not None:
        head = f"{who} raised {what}\n{explained[1]}"
    elif _is_outside(error, remains):
        head = f"{who} raised {what}\nThat was in the test's program, which could not go on with what your code returned or did."
    else:
        head = f"{who} raised {what}"
    return f"{head}\n{frames}" if frames else head


def mistake_of(error: RankError, remains: Remains) -> Mistake:
    """Return the kind of mistake that an error is."""
    if error.phase == "import":
        return Mistake.IMPORT
    if error.phase == "result":
        return Mistake.NOT_DATA
    if error.type == "MissingSymbolError":
        return Mistake.MISSING_NAME
    if error.type in OF_THE_RANK_SIDE:
        return OF_THE_RANK_SIDE[error.type]
    if (explained := _explained(error)) is not None:
        return explained[2]
    return Mistake.UNUSABLE if _is_outside(error, remains) else Mistake.EXCEPTION


def _explained(error: RankError) -> tuple[str, str, Mistake] | None:
    return next((known for known in EXPLAINED if known[0] in error.message), None)


def name_of(rank: int, remains: Remains) -> str:
    """Return how a rank is called at the beginning of a sentence."""
    count = remains.request.world_size
    return f"Rank {rank} of {count}" if count > 1 else "The code under test"


def _is_outside(error: RankError, remains: Remains) -> bool:
    """Return whether code of the test raised this, without a line of the student's file on the way."""
    file = remains.request.student_file
    return bool(error.frames) and error.phase == "program" and all(line.file != file for line in error.frames)


def _line_text(line: SourceLine) -> str:
    return f"{line.file}:{line.line} in {line.function}"
