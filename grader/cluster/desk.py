"""The folder that a dispatched batch and its jobs share: the plan, what was begun, and the verdicts.

Each batch has its own desk, named by its token, next to those of earlier batches with the same --out: so a late job of one
batch cannot harm another. `current` names the desk that counts.

    plan.json                                what every job reads; written once
    key                                      proves that a job wrote a verdict; only this user can read it
    rounds/0.json                            the packs of the first array, written before it is sent; 1.json: ...
    items/<submission>/<chapter>/begun-*     one for each time that a job began with the item
    items/<submission>/<chapter>/verdict     the item's result; the first that is written stays
    crews/0-1/                               where the agents of the first array's second job meet, if ranks are spread
    losses/0.json                            the items found at one time to have lost their job, and why; 1.json: ...
    failures/0-1                             why the first array's second job could grade nothing, in its own words

The first line of a verdict is a code computed over the rest, which is JSON. Nothing here is a pickle, and a verdict
without a valid code is ignored.
"""

import hashlib
import hmac
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from grader.batch.result import ResultOfChapter
from grader.cluster.packing import Item, JobId, Pack
from grader.harness.protocol.files import KEY_BYTES, make_key, write_whole
from grader.harness.protocol.wall import Wall


class _DeskStruct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of everything in the folder."""


class Handed(_DeskStruct, frozen=True):
    """A submission as it was when the batch was planned."""

    path: str
    """Its bytes as in a URL, because they need not be text."""

    digest: str
    """Of everything in it that is graded or listed as left out."""


class BatchPlan(_DeskStruct, frozen=True):
    """What every job of a batch reads."""

    token: str
    """Names the batch's jobs, and its desk."""

    sent_to: str
    """Where the jobs run, as `--on` names it: a profile, or this machine."""

    root: str
    """Of the course."""

    chapters: tuple[str, ...]
    """Their ids, in the order of the results."""

    digests: dict[str, str]
    """Of the files that each chapter is graded with, by chapter id."""

    seed: int
    wall: Wall
    spread: bool
    """Whether ranks run in all tasks of a job, or in the one that grades."""

    all_tests: bool
    """Whether tests run that others have decided."""

    judges_per_job: int
    """How many a job runs at a time."""

    submissions: dict[str, Handed]
    """By name."""

    def jobs_of(self, round_number: int) -> str:
        """Return the name of a round's jobs."""
        return f"grade-{self.token}-{round_number}"


class Begun(_DeskStruct, frozen=True):
    """A job began with an item."""

    job: str
    """Its id in the queue, like in every other file here."""

    node: str
    restarts: int = 0
    """How often the job had been requeued before; each time it lost what it had begun."""


class Verdict(_DeskStruct, frozen=True):
    """The result of an item, and the job that it comes from."""

    item: Item
    token: str
    """Of the batch."""

    job: str
    node: str
    seconds: float
    """How long grading took."""

    result: ResultOfChapter


class Loss(_DeskStruct, frozen=True):
    """A job ended without a verdict on one of its items."""

    item: Item
    round: int
    job: str
    """"?" if the queue does not know it any more."""

    state: str
    """How the job ended, in the cluster's words."""

    node: str = ""
    reason: str = ""
    """Why it could grade nothing, in its own words, or why the cluster did not take it."""

    def __str__(self) -> str:
        """Return the loss as a person reads it."""
        where = f" on {self.node}" if self.node else ""
        return f"job {self.job}{where} {self.state}{f': {self.reason}' if self.reason else ''}"


def current_desk(desks: Path) -> "Desk | None":
    """Return the desk of the batch that was planned last, or None."""
    try:
        return Desk(desks / (desks / "current").read_text())
    except OSError:
        return None


def lay_out_desk(desks: Path, plan: BatchPlan) -> "Desk":
    """Make the desk of a new batch, and remove those of earlier ones."""
    desk = Desk(desks / plan.token)
    desk.lay_out(plan)
    write_whole(desks / "current", plan.token.encode())
    for other in desks.iterdir():
        if other.is_dir() and other != desk.folder:
            shutil.rmtree(other, ignore_errors=True)  # a late job may be writing there
    return desk


class Desk:
    """The folder of one batch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    # What the command writes.

    def lay_out(self, plan: BatchPlan) -> None:
        """Make the folder, with a plan and a fresh key."""
        self.folder.mkdir(parents=True)
        make_key(self.folder)
        write_whole(self.folder / "plan.json", msgspec.json.encode(plan))

    def read_plan(self) -> BatchPlan | None:
        """Return the plan, or None if it is missing, torn, or of a version of this program that wrote something else."""
        try:
            return msgspec.json.decode((self.folder / "plan.json").read_bytes(), type=BatchPlan)
        except (OSError, msgspec.MsgspecError):
            return None

    def add_round(self, round_number: int, packs: Sequence[Pack]) -> None:
        """Write down what is about to be sent."""
        write_whole(self._round(round_number), msgspec.json.encode(packs))

    def rounds(self) -> list[tuple[Pack, ...]]:
        """Return the packs of every round so far."""
        folder = self.folder / "rounds"
        return [msgspec.json.decode(path.read_bytes(), type=tuple[Pack, ...]) for path in _numbered(folder)]

    def crew(self, job: JobId) -> Path:
        """Return the folder in which the tasks of a job find each other."""
        return self.folder / "crews" / str(job)

    def add_losses(self, losses: Sequence[Loss]) -> None:
        """Write down which items lost their job."""
        times = len(list(_numbered(self._losses)))
        write_whole(self._losses / f"{times}.json", msgspec.json.encode(losses))

    def losses(self) -> list[Loss]:
        """Return all losses, in the order in which they were noticed."""
        return [
            loss
            for path in _numbered(self._losses)
            for loss in msgspec.json.decode(path.read_bytes(), type=tuple[Loss, ...])
        ]

    def forgive(self, items: Sequence[Item]) -> None:
        """Forget that jobs began with these items."""
        for item in items:
            for begun in self._item(item).glob("begun-*"):
                begun.unlink()

    def discard(self, item: Item) -> None:
        """Forget the verdict on an item, so that it is graded again."""
        (self._item(item) / "verdict").unlink(missing_ok=True)

    # What jobs read and write.

    def pack_of(self, token: str, job: JobId) -> tuple[BatchPlan, Pack] | None:
        """Return the plan that has this token, and a job's pack; None while not all that the job needs is visible here."""
        plan = self.read_plan()
        try:
            packs = msgspec.json.decode(self._round(job.round).read_bytes(), type=tuple[Pack, ...])
            has_key = len(self._key()) == KEY_BYTES
        except (OSError, msgspec.MsgspecError):
            return None
        # The plan of a batch that lay here before may be visible for a while.
        return (plan, packs[job.index]) if plan is not None and plan.token == token and has_key else None

    def begin(self, item: Item, begun: Begun) -> None:
        """Write down that a job begins with an item."""
        name = f"begun-{secrets.token_hex(8)}"
        write_whole(self._item(item) / name, msgspec.json.encode(begun))

    def times_begun(self, item: Item) -> int:
        """Return how often a job began with an item."""
        return len(list(self._item(item).glob("begun-*")))

    def begun_by(self, items: Sequence[Item]) -> set[str]:
        """Return the ids, in the queue, of the jobs that began with any of these items."""
        marks = [mark for item in items for mark in self._item(item).glob("begun-*")]
        return {msgspec.json.decode(mark.read_bytes(), type=Begun).job for mark in marks}

    def add_failure(self, job: JobId, reason: str) -> None:
        """Write down why a job can grade nothing."""
        write_whole(self._failure(job), reason.encode())

    def failure(self, job: JobId) -> str:
        """Return why a job could grade nothing, or "" if it has not said."""
        try:
            return self._failure(job).read_text(errors="replace")
        except OSError:
            return ""

    def deliver(self, verdict: Verdict) -> bool:
        """Write a verdict; return False if there is one already, which stays."""
        path = self._item(verdict.item) / "verdict"
        content = msgspec.json.encode(verdict)
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".verdict.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(self._code(content) + b"\n" + content)
                file.flush()
                os.fsync(file.fileno())
            # In this order: a file that appears there from now on may be another job's verdict, and the first.
            if path.exists() and self.verdict(verdict.item, verdict.token) is None:
                path.unlink(missing_ok=True)  # not written by a job
            os.link(temporary, path)
        except FileExistsError:
            return False
        finally:
            Path(temporary).unlink()
        return True

    def verdict(self, item: Item, token: str) -> Verdict | None:
        """Return the verdict on an item, or None if no job of this batch has written one."""
        try:
            code, _, content = (self._item(item) / "verdict").read_bytes().partition(b"\n")
        except OSError:
            return None
        if not hmac.compare_digest(code, self._code(content)):
            return None
        try:
            verdict = msgspec.json.decode(content, type=Verdict)
        except msgspec.MsgspecError:  # of a version of this program that wrote something else
            return None
        return verdict if (verdict.item, verdict.token) == (item, token) else None

    @property
    def _losses(self) -> Path:
        return self.folder / "losses"

    def _round(self, round_number: int) -> Path:
        return self.folder / "rounds" / f"{round_number}.json"

    def _failure(self, job: JobId) -> Path:
        return self.folder / "failures" / str(job)

    def _item(self, item: Item) -> Path:
        return self.folder / "items" / item.submission / item.chapter

    def _code(self, content: bytes) -> bytes:
        return hmac.new(self._key(), content, hashlib.sha256).hexdigest().encode()

    def _key(self) -> bytes:
        return (self.folder / "key").read_bytes()


def _numbered(folder: Path) -> Iterator[Path]:
    """Yield 0.json, 1.json, ... up to the first that does not exist."""
    number = 0
    while (path := folder / f"{number}.json").exists():
        yield path
        number += 1
