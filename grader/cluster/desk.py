"""The folder that a dispatched batch and its jobs share: the plan, what was begun, and the verdicts.

Each batch has one of its own, named by its token, beside those of the batches that wrote to the same --out before: a job
that is late harms no other batch. `current` names the one that counts.

    plan.json                                what every job reads; written once
    key                                      makes verdicts known as the jobs' own; for this user's eyes only
    rounds/0.json                            the packs of the first array, written before it is sent; 1.json: ...
    items/<submission>/<chapter>/begun-*     one for each time that a job began with the item
    items/<submission>/<chapter>/verdict     what came of it; the first that is written stays
    crews/0-1/                               where the agents of the first array's second job meet, if ranks are spread
    losses/0.json                            which items lost their job, and why, as noticed at one time; 1.json: ...
    failures/0-1                             why the first array's second job could grade nothing, in its own words

A verdict is a line with a code over the rest and then JSON. Nothing here is a pickle, and what has not the right code
is as good as not there.
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
from grader.cluster.packing import Item, Pack
from grader.harness.protocol.files import KEY_BYTES, make_key, write_whole
from grader.harness.protocol.wall import Wall


class _DeskStruct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of everything in the folder."""


class Handed(_DeskStruct, frozen=True):
    """A submission as it was when the batch was planned. digest: of what would be graded of it."""

    path: str
    digest: str


class BatchPlan(_DeskStruct, frozen=True):
    """What every job of a batch is told."""

    token: str
    """Names the batch's jobs, and its desk."""

    place: str
    """Where they are sent: a profile, or this machine."""

    root: str
    """Of the course."""

    chapters: tuple[str, ...]
    digests: dict[str, str]
    seed: int
    wall: Wall
    spread: bool
    """Whether ranks run in all tasks of a job, or in the one that grades."""

    judges: int
    """How many a job has at a time."""

    submissions: dict[str, Handed]
    """By name."""

    def jobs_of(self, round_number: int) -> str:
        """Return the name of a round's jobs."""
        return f"grade-{self.token}-{round_number}"


class Begun(_DeskStruct, frozen=True):
    """A job began with an item. restarts: how often it had been requeued before, which lost what it had begun."""

    job: str
    node: str
    restarts: int = 0


class Verdict(_DeskStruct, frozen=True):
    """What came of an item."""

    item: Item
    token: str
    job: str
    node: str
    seconds: float
    result: ResultOfChapter


class Loss(_DeskStruct, frozen=True):
    """A job ended and left no verdict on an item that was its own. reason: what the job, or the place, says of it."""

    item: Item
    round: int
    job: str
    state: str
    node: str = ""
    reason: str = ""

    def __str__(self) -> str:
        """Return it as a person reads it."""
        where = f" on {self.node}" if self.node else ""
        return f"job {self.job}{where} {self.state}{f': {self.reason}' if self.reason else ''}"


def current_desk(desks: Path) -> "Desk | None":
    """Return the desk of the batch that was planned last, if there is one."""
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
        """Return the plan, or None where there is none that could be read."""
        try:
            return msgspec.json.decode((self.folder / "plan.json").read_bytes(), type=BatchPlan)
        except (OSError, msgspec.MsgspecError):
            return None

    def add_round(self, number: int, packs: Sequence[Pack]) -> None:
        """Write down what is about to be sent."""
        write_whole(self._rounds / f"{number}.json", msgspec.json.encode(packs))

    def rounds(self) -> list[tuple[Pack, ...]]:
        """Return the packs of every round so far."""
        return [msgspec.json.decode(path.read_bytes(), type=tuple[Pack, ...]) for path in _numbered(self._rounds)]

    def crew(self, round_number: int, number: int) -> Path:
        """Return the folder by which the tasks of one job find each other."""
        return self.folder / "crews" / f"{round_number}-{number}"

    def add_losses(self, losses: Sequence[Loss]) -> None:
        """Write down what ended without a verdict."""
        number = len(list(_numbered(self._losses)))
        write_whole(self._losses / f"{number}.json", msgspec.json.encode(losses))

    def losses(self) -> list[Loss]:
        """Return what ended without a verdict, in the order in which it was noticed."""
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

    def pack_of(self, token: str, round_number: int, number: int) -> tuple[BatchPlan, Pack] | None:
        """Return the plan that has this token, and a pack; None while the folder does not show all that a job needs."""
        plan = self.read_plan()
        try:
            packs = msgspec.json.decode((self._rounds / f"{round_number}.json").read_bytes(), type=tuple[Pack, ...])
            has_key = len(self._key()) == KEY_BYTES
        except (OSError, msgspec.MsgspecError):
            return None
        # A batch that lay here before may be shown for a while, too.
        return (plan, packs[number]) if plan is not None and plan.token == token and has_key else None

    def begin(self, item: Item, begun: Begun) -> None:
        """Write down that a job begins with an item."""
        name = f"begun-{secrets.token_hex(8)}"
        write_whole(self._item(item) / name, msgspec.json.encode(begun))

    def times_begun(self, item: Item) -> int:
        """Return how often a job began with an item."""
        return len(list(self._item(item).glob("begun-*")))

    def begun_by(self, items: Sequence[Item]) -> set[str]:
        """Return the jobs that began with any of these items."""
        marks = [mark for item in items for mark in self._item(item).glob("begun-*")]
        return {msgspec.json.decode(mark.read_bytes(), type=Begun).job for mark in marks}

    def add_failure(self, round_number: int, number: int, reason: str) -> None:
        """Write down why a job can grade nothing."""
        write_whole(self._failure(round_number, number), reason.encode())

    def failure(self, round_number: int, number: int) -> str:
        """Return why a job could grade nothing, if it has said so."""
        try:
            return self._failure(round_number, number).read_text(errors="replace")
        except OSError:
            return ""

    def deliver(self, verdict: Verdict) -> bool:
        """Write a verdict; return False if there was one, which then stays."""
        path = self._item(verdict.item) / "verdict"
        content = msgspec.json.encode(verdict)
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".verdict.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(self._code(content) + b"\n" + content)
                file.flush()
                os.fsync(file.fileno())
            # In this order: what comes to lie there from now on may be another job's, and the first.
            if path.exists() and self.verdict(verdict.item, verdict.token) is None:
                path.unlink(missing_ok=True)  # whatever lies there, no job has written it
            os.link(temporary, path)
        except FileExistsError:
            return False
        finally:
            Path(temporary).unlink()
        return True

    def verdict(self, item: Item, token: str) -> Verdict | None:
        """Return the verdict on an item, or None where there is none that a job of this batch has written."""
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
    def _rounds(self) -> Path:
        return self.folder / "rounds"

    @property
    def _losses(self) -> Path:
        return self.folder / "losses"

    def _failure(self, round_number: int, number: int) -> Path:
        return self.folder / "failures" / f"{round_number}-{number}"

    def _item(self, item: Item) -> Path:
        return self.folder / "items" / item.submission / item.chapter

    def _code(self, content: bytes) -> bytes:
        return hmac.new(self._key(), content, hashlib.sha256).hexdigest().encode()

    def _key(self) -> bytes:
        return (self.folder / "key").read_bytes()


def _numbered(folder: Path) -> Iterator[Path]:
    """Yield 0.json, 1.json, ... as far as they are there."""
    number = 0
    while (path := folder / f"{number}.json").exists():
        yield path
        number += 1
