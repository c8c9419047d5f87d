"""How a value differs from its reference, as data and as the message a student reads."""

import math
from dataclasses import dataclass

from grader.harness.mistake import Mistake
from grader.harness.outcome import StudentFailure
from grader.harness.wording import listed, rank_list

READABLE_INTEGER = 1e15


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The first value that is wrong, and where.

    rank: the first wrong rank; None if the value came from a call outside any launch
    problem: what is wrong, in words; with numbers to subtract it is None, else the numeric fields are None or 0
    index, actual, expected: where |difference| is largest; `allowed` is the bound there
    wrong_ranks, right_ranks: of the ranks that should hold a value at `path`
    also_wrong: other paths with something wrong
    diagnosis: why, where the error has a shape
    mistake: the kind of it; of all fields the only one without a value, a place or a name of the test
    """

    rank: int | None
    world_size: int
    path: str
    problem: str | None = None
    max_abs: float | None = None
    index: tuple[int, ...] | None = None
    allowed: float | None = None
    actual: float | None = None
    expected: float | None = None
    num_wrong: int = 0
    numel: int = 0
    wrong_ranks: tuple[int, ...]
    right_ranks: tuple[int, ...]
    also_wrong: tuple[str, ...] = ()
    diagnosis: str | None = None
    mistake: Mistake

    def __str__(self) -> str:
        where = self.path if self.rank is None else f"rank {self.rank} of {self.world_size}: {self.path}"
        lines = [f"{where} {self.problem or self._differs()}"]
        if self.rank is not None and self.world_size > 1:
            right = f"; right on {rank_list(self.right_ranks)}" if self.right_ranks else ""
            lines.append(f"Wrong on {rank_list(self.wrong_ranks)}{right}.")
        if self.also_wrong:
            lines.append(f"Also wrong: {listed(self.also_wrong)}.")
        if self.diagnosis:
            lines.append(self.diagnosis)
        return "\n".join(lines)

    def _differs(self) -> str:
        assert self.max_abs is not None
        assert self.actual is not None
        assert self.expected is not None
        yours, reference = _told_apart(self.actual, self.expected)
        entries = f" in {self.num_wrong} of {self.numel} entries" if self.numel > 1 else ""
        at = f" at {self.index}" if self.index else ""
        allowed = f", allowed {self.allowed:.1e}" if self.allowed else ""
        return (
            f"differs from the reference{entries}.\n"
            f"max |difference| {self.max_abs:.1e}{at}: yours {yours}, expected {reference}{allowed}."
        )


class Mismatch(StudentFailure):
    """What the ranks returned is not what the reference says; `difference` says it as data."""

    def __init__(self, difference: Difference) -> None:
        super().__init__(str(difference), mistake=difference.mistake)
        self.difference = difference


def _told_apart(a: float, b: float) -> tuple[str, str]:
    """Return two numbers with as many digits as it takes to see that they differ."""
    if all(math.isfinite(x) and x == round(x) and abs(x) < READABLE_INTEGER for x in (a, b)):
        return f"{a:.0f}", f"{b:.0f}"
    texts = ((f"{a:.{digits}g}", f"{b:.{digits}g}") for digits in (6, 9, 12, 17))
    return next(((x, y) for x, y in texts if x != y), (repr(a), repr(b)))
