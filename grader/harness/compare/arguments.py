"""Whether student code left alone what it was given: no argument is written to, and no result lives in an argument's memory.

A program notes both of a call as "observed": `written`, a list of one bool for each argument that was watched, and, where a
result is a tensor, `shares_memory`, one bool.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from grader.harness.compare.difference import Mismatch
from grader.harness.compare.equivalence import assert_matches
from grader.harness.mistake import Mistake
from grader.harness.outcome import StudentFailure


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


def assert_unchanged(after: Any, before: Any, name: str) -> None:
    """Assert that a tensor, or what holds tensors, is what it was before the call, on every rank and bit by bit.

    after: a PerRank, as a launch returns it
    before: what was passed: a PerRank holds one value for each rank
    name: what the student's contract calls it
    Raises: StudentFailure.
    """
    __tracebackhide__ = True
    try:
        assert_matches(after, before, rtol=0.0, atol=0.0, what=f"{name} after the call")
    except Mismatch as mismatch:
        said = f"{name} was written to, and is the caller's. Work on a copy.\n{mismatch}"
        raise StudentFailure(said, mistake=Mistake.WROTE_TO_ARGUMENT) from None


def _which(written: Sequence[bool], names: Sequence[str]) -> str:
    """Name the arguments that were written to."""
    if len(written) == len(names):
        return " and ".join(name for name, was_written in zip(names, written, strict=True) if was_written)
    numbers = ", ".join(str(number) for number, was_written in enumerate(written) if was_written)
    return f"{' or '.join(names)} (number {numbers} of {len(written)}, counted from 0)"
