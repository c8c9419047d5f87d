"""Reads each hand-in in a process of its own, because what it holds decides how long that takes and whether it ends well.

The process has bounds on time and memory that the kernel enforces, and hands back only the declared files and what is to
be said, as data. Whatever an archive does to the code that reads it, the command goes on.

    command -> process    one JSON line: `_Order`
    process -> command    READY, then `tuple[ChapterFiles, ...]` in MessagePack
"""

import contextlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

import msgspec

from course_env.errors import LaunchError
from grader.batch.intake.listing import Declared
from grader.batch.intake.read import read_hand_in, unreadable
from grader.batch.intake.take import ChapterFiles

CPU_LIMIT_S = 5
"""A third of it reads the largest archive that is taken."""

WALL_LIMIT_S = 60.0
"""For a file system that does not answer, or a machine that does a lot else."""

MEMORY_BYTES = 1 << 30
OUT_OF_MEMORY = 77
"""The exit code of a process that reached MEMORY_BYTES."""

READY = b"\n"
"""Written before the hand-in is touched: what goes wrong before it is not the submission's fault."""

REMEDY = "Make the archive again from the chapters' folders alone, with `zip -r` or `tar -czf`, and hand it in again."
_FROM_OUTSIDE = {-signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP}


class _Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be read."""

    path: str
    """Its bytes as in a URL, because they need not be text."""

    known: tuple[Declared, ...]
    wanted: tuple[Declared, ...]


def read_apart(path: Path, known: Sequence[Declared], wanted: Sequence[Declared]) -> tuple[ChapterFiles, ...]:
    """Return what `read_hand_in` returns, or that the hand-in cannot be read, if reading it takes too much.

    Raises: LaunchError if the process cannot work, or was ended by somebody else.
    """
    order = _Order(path=quote(os.fsencode(path)), known=tuple(known), wanted=tuple(wanted))
    done = subprocess.run(
        [sys.executable, "-I", "-m", "grader.batch.intake.reading_process"],
        input=msgspec.json.encode(order),
        capture_output=True,
        check=False,
        start_new_session=True,  # Ctrl-C reaches only this program: a half-read hand-in would count as unreadable
    )
    is_ready, answer = done.stdout[: len(READY)] == READY, done.stdout[len(READY) :]
    if not is_ready or done.returncode in _FROM_OUTSIDE:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise LaunchError(f"The process that reads hand-ins ended before it read {path}. {last}")
    with contextlib.suppress(msgspec.MsgspecError):
        if done.returncode == 0:
            return msgspec.msgpack.decode(answer, type=tuple[ChapterFiles, ...])
    fault = _fault(done.returncode)
    return unreadable(path, f"{fault}. {REMEDY}", fault, wanted)


def _fault(exit_code: int) -> str:
    if exit_code == -signal.SIGXCPU:
        return f"takes more than {CPU_LIMIT_S} s to read"
    if exit_code == -signal.SIGALRM:
        return f"could not be read in {WALL_LIMIT_S:g} s"
    if exit_code == OUT_OF_MEMORY:
        return f"takes more than {MEMORY_BYTES >> 20} MiB of memory to read"
    return "cannot be read: the program that reads it failed"


def main() -> None:
    """Read the hand-in that stdin names, within the bounds."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=_Order)
    _lower(
        resource.RLIMIT_CPU, CPU_LIMIT_S, CPU_LIMIT_S + 1
    )  # beyond the second the kernel does not say why it ends it
    _lower(resource.RLIMIT_AS, MEMORY_BYTES)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process whatever it does
    signal.setitimer(signal.ITIMER_REAL, WALL_LIMIT_S)
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    try:
        taken = read_hand_in(Path(os.fsdecode(unquote_to_bytes(order.path))), order.known, order.wanted)
        sys.stdout.buffer.write(msgspec.msgpack.encode(taken))
    except MemoryError:
        sys.exit(OUT_OF_MEMORY)


def _lower(limit: int, soft: int, hard: int | None = None) -> None:
    """Bound a resource, unless the machine bounds it more."""
    most = resource.getrlimit(limit)[1]
    most = sys.maxsize if most == resource.RLIM_INFINITY else most
    resource.setrlimit(limit, (min(soft, most), min(hard or soft, most)))


if __name__ == "__main__":
    main()
