"""What a dispatched batch consists of: items, each one chapter of one submission, packed into jobs."""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from grader.batch.batch import Batch
from grader.batch.intake.find import Submission

SECONDS_PER_EXERCISE = 4.0
"""Of a judge, roughly: what a packing is planned with."""


class Item(NamedTuple):
    """One chapter of one submission: what is graded whole, once, by one judge."""

    submission: str
    chapter: str

    def __str__(self) -> str:
        """Return it as people read it."""
        return f"{self.submission}/{self.chapter}"


Pack = tuple[Item, ...]
"""What one job grades, in this order."""

MOST_PACKS = 1000
"""Of one job array: Slurm's own default for its largest index is one more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLength:
    """How much of a judge's time a job should hold.

    worthwhile_s: so much at least, to be worth its wait in the queue
    longest_s: so much at most, to be done before its time limit
    """

    worthwhile_s: float
    longest_s: float


def items_of(submissions: Sequence[Submission], batch: Batch) -> tuple[Item, ...]:
    """Return every item of a batch."""
    return tuple(Item(submission.name, chapter.id) for submission in submissions for chapter in batch.chapters)


def estimates(batch: Batch) -> dict[str, float]:
    """Return roughly how many seconds a judge takes, by chapter id."""
    return {chapter.id: SECONDS_PER_EXERCISE * len(chapter.exercises) for chapter in batch.chapters}


def pack(
    items: Sequence[Item], seconds: dict[str, float], *, max_jobs: int, length: JobLength, alone: frozenset[Item]
) -> tuple[Pack, ...]:
    """Return items as packs of about the same length, each worth its wait in the queue.

    At most `max_jobs`, unless these would be too long.

    alone: items that were in a job that was lost, and may be why; each has a job of its own, as far as there are jobs
    """
    suspects = [item for item in items if item in alone]
    others = [item for item in items if item not in alone]
    room = max_jobs if not others and len(suspects) <= max_jobs else max_jobs - 1  # one for the rest
    packs: list[Pack] = [(item,) for item in suspects[:room]]
    others += suspects[room:]
    if others:
        total = sum(seconds[item.chapter] for item in others)
        jobs = min(max_jobs - len(packs), int(total / length.worthwhile_s))
        jobs = max(1, jobs, math.ceil(total / length.longest_s))
        packs += _even(others, seconds, min(jobs, len(others), max(1, MOST_PACKS - len(packs))))
    return tuple(packs)


def _even(items: Sequence[Item], seconds: dict[str, float], jobs: int) -> list[Pack]:
    """Give the longest item that is left to the job that has least, until none is left."""
    heap: list[tuple[float, int, list[Item]]] = [(0.0, number, []) for number in range(jobs)]
    for item in sorted(items, key=lambda one: -seconds[one.chapter]):
        length, number, mine = heapq.heappop(heap)
        mine.append(item)
        heapq.heappush(heap, (length + seconds[item.chapter], number, mine))
    return [tuple(mine) for _, _, mine in sorted(heap)]
