"""How a value differs from its reference, as data and as the message a student reads."""

import math
from dataclasses import dataclass

from grader.harness.mistake import Mistake
from grader.harness.outcome import StudentFailure
from grader.harness.wording import listed, rank_list

READABLE_INTEGER = 1e15


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The first value that is wrong, and where."""

    rank: int | None
    """The first wrong rank; None if the value came from a call outside any launch."""

    world_size: int
    path: str
    problem: str | None = None
    """What is wrong, in words. None if numbers differ; otherwise the numeric fields are None or 0."""

    max_abs: float | None = None
    """The largest |difference|."""

    index: tuple[int, ...] | None = None
    """Where |difference| is largest."""

    allowed: float | None = None
    """The bound at `index`."""

    actual: float | None = None
    """The value at `index`."""

    expected: float | None = None
    """What is expected at `index`."""

    num_wrong: int = 0
    """The number of wrong entries on `rank`."""

    numel: int = 0
    wrong_ranks: tuple[int, ...]
    """Of the ranks that should hold a value at `path`, those with a wrong one."""

    right_ranks: tuple[int, ...]
    """Of the ranks that should hold a value at `path`, those with a right one."""

    also_wrong: tuple[str, ...] = ()
    """Other paths with something wrong."""

    diagnosis: str | None = None
    """Why the numbers differ, where the error has a shape."""

    mistake: Mistake
    """The kind of mistake, which unlike the other fields holds nothing of the test: no value, index or name."""

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
        yours, reference = distinct_texts(self.actual, self.expected)
        entries = f" in {self.num_wrong} of {self.numel} entries" if self.numel > 1 else ""
        at = f" at {self.index}" if self.index else ""
        allowed = f", allowed {self.allowed:.1e}" if self.allowed else ""
        return (
            f"differs from the reference{entries}.\n"
            f"max |difference| {self.max_abs:.1e}{at}: yours {yours}, expected {reference}{allowed}."
        )


class Mismatch(StudentFailure):
    """What the ranks returned is not what the reference says; `difference` holds it as data."""

    def __init__(self, difference: Difference) -> None:
        super().__init__(str(difference), mistake=difference.mistake)
        self.difference = difference


def distinct_texts(a: float, b: float) -> tuple[str, str]:
    """Return two numbers with as many digits as it takes to see that they differ."""
    if all(math.isfinite(x) and x == round(x) and abs(x) < READABLE_INTEGER for x in (a, b)):
        return f"{a:.0f}", f"{b:.0f}"
    texts = ((f"{a:.{digits}g}", f"{b:.{digits}g}") for digits in (6, 9, 12, 17))
    return next(((x, y) for x, y in texts if x != y), (repr(a), repr(b)))
