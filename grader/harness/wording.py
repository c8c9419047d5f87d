"""How things are said to people: ranks, lists, numbers, lines of code, exit codes, and texts that student code wrote."""

import signal
from collections.abc import Sequence

from grader.harness.protocol.journal import CallSite

MAX_SHOWN = 20_000  # characters of a text
MAX_LISTED = 4  # parts of a list


def rank_list(ranks: Sequence[int]) -> str:
    """Return "rank 0", or "ranks 0, 2"."""
    return f"rank {ranks[0]}" if len(ranks) == 1 else f"ranks {', '.join(map(str, ranks))}"


def conjugate(verb: str, ranks: Sequence[int]) -> str:
    """Return the verb phrase as it follows `rank_list(ranks)`: "give" or "gives"."""
    head, _, rest = verb.partition(" ")
    return verb if len(ranks) > 1 else f"{head}s {rest}".rstrip()


def ordinal(number: int) -> str:
    """Return "1st" for 1."""
    suffix = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def listed(parts: Sequence[str]) -> str:
    """Return the first few parts of a list, and how many more there are."""
    more = len(parts) - MAX_LISTED
    return ", ".join(parts[:MAX_LISTED]) + (f" and {more} more" if more > 0 else "")


def at_line(site: CallSite | None) -> str:
    """Return " at x.py:12", or nothing where the line is unknown."""
    return f" at {site}" if site else ""


def dtype_name(dtype: object) -> str:
    """Return the name of a torch.dtype without its module: "float32"."""
    return str(dtype).removeprefix("torch.")


def exit_text(code: int) -> str:
    """Return an exit code as a person says it: "signal SIGSEGV" or "exit code 3"."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


def shown(text: str) -> str:
    """Return `text` made safe for a terminal, a report or a page; student code may have written parts of it.

    Characters that could steer a terminal, turn the reading direction or not be written as UTF-8 are escaped, and the end
    of a long text is left out. A text that was shown before does not change.
    """
    escaped = "".join(
        char if char.isprintable() or char in "\n\t" else repr(char)[1:-1] for char in text[: MAX_SHOWN + 1]
    )
    if len(escaped) <= MAX_SHOWN:
        return escaped
    note = f"\n... cut here: {len(text)} characters in all"
    return escaped[: MAX_SHOWN - len(note)] + note
