"""Journals of imagined ranks, written by hand: what a launch would have left behind."""

from collections.abc import Sequence

from grader.harness.comm.log import CommLog
from grader.harness.protocol.journal import CallSite, Done, Event, FutureTaken, Issue, NewGroup, RankJournal, WaitBegun


def site(line: int | None) -> CallSite | None:
    """Return a line of the student's file."""
    return None if line is None else CallSite("x.py", line, "solve")


class Recorded:
    """One rank's journal in the making; every method returns the rank, so that a program reads as one chain."""

    def __init__(self, world_size: int = 2) -> None:
        self.world = tuple(range(world_size))
        self.events: list[Event] = []
        self.num_ops = 0
        self.truncated = False

    def _add(self, event_type, k: int, **fields) -> "Recorded":
        self.events.append(event_type(k=k, t=float(len(self.events)), **fields))
        return self

    def issue(self, op: str, numel: int = 4, *, line: int | None = 1, name: str = "0", **fields) -> "Recorded":
        """Issue an operation of float32 that is not waited for yet."""
        sizes = {"inputs": (numel,), "outputs": (numel,)}
        if op in ("send", "recv", "barrier"):
            sizes = {"send": {"inputs": (numel,)}, "recv": {"outputs": (numel,)}, "barrier": {}}[op]
        defaults = {"group": name, "ranks": self.world, "dtype": "float32", "itemsize": 4, "is_async": True, **sizes}
        self.num_ops += 1
        return self._add(Issue, self.num_ops - 1, op=op, site=site(line), **{**defaults, **fields})

    def wait(self, k: int | None = None, *, line: int | None = None) -> "Recorded":
        """Begin to wait, for the last operation by default."""
        return self._add(WaitBegun, self.num_ops - 1 if k is None else k, site=site(line))

    def done(self, k: int | None = None, **fields) -> "Recorded":
        """Find an operation complete, the last by default."""
        return self._add(Done, self.num_ops - 1 if k is None else k, **fields)

    def take_future(self) -> "Recorded":
        """Take the last operation's future, as DDP's reducer does."""
        return self._add(FutureTaken, self.num_ops - 1)

    def stuck(self, op: str, line: int | None = 1, **fields) -> "Recorded":
        """Call a blocking operation that never returns."""
        return self.issue(op, line=line, is_async=False, **fields)

    def call(self, op: str, numel: int = 4, *, line: int | None = 1, **fields) -> "Recorded":
        """Call a blocking operation that returns."""
        return self.issue(op, numel, line=line, is_async=False, **fields).done()

    def new_group(
        self, name: str, ranks: Sequence[int], line: int = 1, *, api: str = "new_group", made: bool = True
    ) -> "Recorded":
        """Make a process group."""
        self.num_ops += 1
        self._add(NewGroup, self.num_ops - 1, group=name, ranks=tuple(ranks), api=api, site=site(line))
        return self.done() if made else self

    @property
    def journal(self) -> RankJournal:
        """What the judge reads."""
        return RankJournal(events=tuple(self.events), truncated=self.truncated)


def log(*ranks: Recorded) -> CommLog:
    """Return the log of a launch of these ranks."""
    return CommLog([rank.journal for rank in ranks])
