"""What a dispatched batch consists of: items, each one chapter of one submission, packed into jobs."""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from grader.batch.batch import Batch
from grader.batch.intake.find import Submission

SECONDS_PER_EXERCISE = 4.0
"""How long a judge takes, roughly; packs are planned with it."""


class Item(NamedTuple):
    """One chapter of one submission: graded as a whole, once, by one judge."""

    submission: str
    chapter: str

    def __str__(self) -> str:
        """Return it as people read it."""
        return f"{self.submission}/{self.chapter}"


Pack = tuple[Item, ...]
"""What one job grades, in this order."""


@dataclass(frozen=True, slots=True)
class JobId:
    """Names a job among all that a batch sends."""

    round: int
    """Rounds are numbered from 0, in the order in which they are sent."""

    index: int
    """Of the job in the array of its round, from 0."""

    def __str__(self) -> str:
        """Return it as the desk's files are named, such as `0-1`."""
        return f"{self.round}-{self.index}"


MOST_PACKS = 1000
"""In one job array; by default Slurm allows one more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLength:
    """How much of a judge's time a job should hold."""

    worthwhile_s: float
    """At least this much, to be worth its wait in the queue."""

    longest_s: float
    """At most this much, to be done before its time limit."""


def items_of(submissions: Sequence[Submission], batch: Batch) -> tuple[Item, ...]:
    """Return every item of a batch."""
    return tuple(Item(submission.name, chapter.id) for submission in submissions for chapter in batch.chapters)


def estimates(batch: Batch) -> dict[str, float]:
    """Return roughly how many seconds a judge takes, by chapter id."""
    return {chapter.id: SECONDS_PER_EXERCISE * len(chapter.exercises) for chapter in batch.chapters}


def pack(
    items: Sequence[Item], seconds: dict[str, float], *, max_jobs: int, length: JobLength, alone: frozenset[Item]
) -> tuple[Pack, ...]:
    """Return at most `max_jobs` packs of about the same length, each worth its wait in the queue.

    There are more where these would be too long. `alone`: items whose job was lost, perhaps because of them; as long as
    there are enough jobs, each gets one to itself.
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
    """Give the longest remaining item to the shortest job, until no item remains."""
    heap: list[tuple[float, int, list[Item]]] = [(0.0, index, []) for index in range(jobs)]
    for item in sorted(items, key=lambda item: -seconds[item.chapter]):
        length, index, chosen = heapq.heappop(heap)
        chosen.append(item)
        heapq.heappush(heap, (length + seconds[item.chapter], index, chosen))
    return [tuple(chosen) for _, _, chosen in sorted(heap)]
