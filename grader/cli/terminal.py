"""Standard streams that never end a command: any encoding, a reader that has gone, a stream that was closed from the start."""

import codecs
import errno
import io
import os
import select
import sys
import unicodedata
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from course_env.errors import ExitCode

if TYPE_CHECKING:
    from typing_extensions import Buffer

READABLE = "course.readable"
"""Name of the error handler for characters that a terminal's encoding lacks."""

NOBODY_READS = {errno.EPIPE, errno.EIO}
"""What a write reports after `| head` has ended, and after a terminal was closed."""

LOOKS_LIKE = {
    "✓": "+",
    "✗": "x",
    "·": ".",
    "•": "*",
    "…": "...",
    "\N{EN DASH}": "-",
    "\N{EM DASH}": "-",
    "\N{MINUS SIGN}": "-",
    "\N{MULTIPLICATION SIGN}": "x",
    "→": "->",
    "←": "<-",
    "↔": "<->",
    "⇒": "=>",
    "≤": "<=",
    "≥": ">=",
    "≠": "!=",
    "≈": "~",
    "\N{LEFT SINGLE QUOTATION MARK}": "'",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{LEFT DOUBLE QUOTATION MARK}": '"',
    "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
    "\N{NO-BREAK SPACE}": " ",
}
"""Marks and punctuation. A letter has no substitute: two names must not become one, so it is escaped."""


def readable(error: UnicodeError) -> tuple[str, int]:
    """Return what stands for the characters that cannot be encoded, as an error handler of codecs does."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_substitute, error.object[error.start : error.end])), error.end


codecs.register_error(READABLE, readable)


def displayed(text: str) -> str:
    """Return a text as standard output will show it, for what is laid out in columns."""
    return text.encode(sys.stdout.encoding, READABLE).decode(sys.stdout.encoding)


def _substitute(char: str) -> str:
    if char in LOOKS_LIKE:
        return LOOKS_LIKE[char]
    name = unicodedata.name(char, "")
    if name.startswith("BOX DRAWINGS"):
        lines = {line for line in ("HORIZONTAL", "VERTICAL", "LEFT", "RIGHT", "UP", "DOWN") if line in name}
        return "-" if lines <= {"HORIZONTAL", "LEFT", "RIGHT"} else "|" if lines <= {"VERTICAL", "UP", "DOWN"} else "+"
    if name.startswith("BRAILLE PATTERN"):
        return "*"  # a frame of the wheel that turns while somebody waits
    return char.encode("ascii", "backslashreplace").decode()


class PatientFile(io.FileIO):
    """A descriptor of a standard stream; a write that fails is noted and does not end the command."""

    lost: OSError | None = None
    """Why output was lost, unless nobody was there to read it."""

    def write(self, data: "Buffer", /) -> int:
        """Write; where that fails, say that all was written."""
        try:
            while (written := super().write(data)) is None:  # another program has made the terminal non-blocking
                select.select([], [self], [])
        except OSError as error:
            if error.errno not in NOBODY_READS:
                self.lost = self.lost or error
            return len(memoryview(data))
        return written


def open_standard_streams() -> None:
    """Open the null device where a standard stream is closed: else the next file that is opened would take its number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest number that is free
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115 - stays open as long as the process
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115 - same
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115 - same


def make_streams_patient() -> PatientFile:
    """Let standard output and errors show any text and survive their readers; return the descriptor of standard output."""
    sys.stdin.reconfigure(errors="replace")  # type: ignore[union-attr] # a process begins with a TextIOWrapper
    out, sys.stdout = _patient(sys.stdout)
    _, sys.stderr = _patient(sys.stderr)
    return out


def _patient(stream: TextIO) -> tuple[PatientFile, TextIO]:
    stream.flush()
    raw = PatientFile(stream.fileno(), "w", closefd=False)
    return raw, io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors=READABLE,
        line_buffering=stream.isatty() or stream is sys.stderr,
        write_through=getattr(stream, "write_through", False),
    )


def to_its_end(command: Callable[[], int]) -> int:
    """Run a command on patient streams; return its exit code, or that of a machine at fault if a part of its output was lost."""
    out = make_streams_patient()
    try:
        code = command()
    except SystemExit as end:  # --help, or a wrong option
        code = int(end.code or 0)
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    sys.stdout.flush()
    if out.lost is None:
        return code
    print(f"A part of the output was lost: {out.lost.strerror}.", file=sys.stderr)
    return ExitCode.INFRASTRUCTURE if code in {ExitCode.ALL_PASSED, ExitCode.SOME_FAILED} else code
