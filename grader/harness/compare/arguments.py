"""Whether student code left alone what it was given: no argument is written to, and no result lives in an argument's memory.

A program notes both of a call as "observed": `written`, a list of one bool for each argument that was watched, and, where a
result is a tensor, `shares_memory`, one bool.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from grader.harness.mistake import Mistake


class Observed(Protocol):
    """A run, as far as this module needs one."""

    def observed(self, name: str) -> Sequence[Any]:
        """Return what each rank's program noted under `name`."""


def assert_arguments_kept(run: Observed, *names: str) -> None:
    """Assert that no rank wrote to its arguments, and that no result shares memory with one.

    names: what the student's contract calls the watched arguments, in their order. With one name for many (the tensors of a
        list, the calls of a table), the message counts them.
    Raises: AssertionError, whose first line is the kind of mistake.
    """
    __tracebackhide__ = True
    for rank, written in enumerate(run.observed("written")):
        if any(written or ()):
            raise AssertionError(
                f"{Mistake.WROTE_TO_ARGUMENT}\nRank {rank} wrote to {_which(written, names)}, which is the caller's. "
                "Work on a copy."
            )
    for rank, shares in enumerate(run.observed("shares_memory")):
        if shares:
            raise AssertionError(
                f"{Mistake.SHARES_MEMORY}\nThe result on rank {rank} shares memory with {' or '.join(names)}: whoever "
                "changes one changes the other. Return a new tensor, whatever the number of ranks is."
            )


def _which(written: Sequence[bool], names: Sequence[str]) -> str:
    """Name the arguments that were written to."""
    if len(written) == len(names):
        return " and ".join(name for name, was_written in zip(names, written, strict=True) if was_written)
    numbers = ", ".join(str(number) for number, was_written in enumerate(written) if was_written)
    return f"{' or '.join(names)} (number {numbers} of {len(written)}, counted from 0)"
