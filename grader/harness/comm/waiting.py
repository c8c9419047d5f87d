"""Who waits for whom in a launch that passed its deadline, as the journals of its ranks show."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from grader.harness.comm.log import CommLog
from grader.harness.comm.mismatch import collectives_by_group
from grader.harness.comm.op import NEW_GROUP, POINT_TO_POINT, CommOp, matched_messages
from grader.harness.wording import at_line, rank_list

OPPOSITE = {"send": "recv", "recv": "send"}
RENDEZVOUS = "a send returns only when the receive for it has been posted."


def who_waits(comm: CommLog, states: Sequence[str]) -> str:
    """Return what each rank was doing when the launch was cut and, where the journals show it, why that never ends.

    states: for each rank, what else is known of it, as a phrase that follows its name: "has returned" or another "has ..."
        for a rank that ended, "is at work.py:3 in solve" for one that runs, "" if nothing is known
    """
    launch = _CutLaunch(comm.recorded, states)
    text = "; ".join(_clauses(launch))
    reason = next(filter(None, (explain(launch) for explain in EXPLANATIONS)), "")
    return f"{text}: {reason}" if reason else f"{text}."


@dataclass(frozen=True, slots=True)
class _CutLaunch:
    """The ranks of a launch that was cut."""

    ops: Sequence[Sequence[CommOp]]
    """By rank, its operations in the order of issue."""

    states: Sequence[str]
    """By rank, what else is known of it: see `who_waits`."""

    def has_ended(self, rank: int) -> bool:
        return self.states[rank].startswith("has ")

    def blocked(self) -> dict[int, CommOp]:
        """Return the operation that each blocked rank waits for."""
        found = ((rank, self._blocked_in(rank)) for rank in range(len(self.ops)) if not self.has_ended(rank))
        return {rank: op for rank, op in found if op is not None}

    def _blocked_in(self, rank: int) -> CommOp | None:
        unfinished = [op for op in self.ops[rank] if op.done_at is None and not op.error]
        waiting = [op for op in unfinished if op.waited_at is not None]
        if waiting:
            return max(waiting, key=lambda op: op.waited_at or 0)
        # A rank that took a future waits for it unseen, but not if all members have come to the operation.
        return next((op for op in unfinished if op.future_taken and self.absent(op)), None)

    def absent(self, op: CommOp) -> tuple[int, ...]:
        """Return the members that have not come to collective `op`."""
        sequences = collectives_by_group(self.ops)[op.group]
        index = sequences[op.rank].index(op)
        return tuple(rank for rank in op.ranks if len(sequences[rank]) <= index)

    def waited_for(self, op: CommOp) -> tuple[int, ...]:
        """Return the ranks without which `op` cannot end."""
        if op.op in POINT_TO_POINT:
            return () if op.peer is None else (op.peer,)
        return self.absent(op)


def _clauses(launch: _CutLaunch) -> list[str]:
    """Return what the ranks do, with ranks that do the same named together."""
    blocked = launch.blocked()
    awaited = {_call(op, launch): launch.absent(op) for op in blocked.values() if op.op not in POINT_TO_POINT}
    ranks_by_phrase: dict[str, list[int]] = defaultdict(list)
    for rank, state in enumerate(launch.states):
        if rank in blocked:
            phrase = _waits(blocked[rank], launch)
        else:
            missed = [call for call, absent in awaited.items() if rank in absent]
            what = "it" if len(awaited) == 1 else " nor ".join(missed)
            phrase = f"never called {what}: it {state or 'is running'}" if missed else state or "is running"
        ranks_by_phrase[phrase].append(rank)
    ordered = sorted(ranks_by_phrase.items(), key=lambda item: item[1][0] not in blocked)
    return [f"{rank_list(ranks)} {_plural(phrase) if len(ranks) > 1 else phrase}" for phrase, ranks in ordered]


def _waits(op: CommOp, launch: _CutLaunch) -> str:
    if op.waited_at is None:
        return f"waits for its {_call(op, launch)}{at_line(op.site)}"
    if op.is_async and op.waited_site != op.site:
        waited_at = f" at {op.waited_site}" if op.waited_site else ""
        issued_at = f" of {op.site}" if op.site else ""
        return f"waits{waited_at} for its {_call(op, launch)}{issued_at}"
    return f"waits in {_call(op, launch)}{at_line(op.site)}"


def _call(op: CommOp, launch: _CutLaunch) -> str:
    """Return an operation as a call: "recv(src=1)", "all_reduce", "barrier of ranks 0, 2"."""
    if op.op in POINT_TO_POINT:
        return op.call
    if op.op == NEW_GROUP and op.api == "init_process_group":
        return op.api
    group = "" if len(op.ranks) == len(launch.ops) else f" of {rank_list(op.ranks)}"
    return f"{op.call}{group}"


def _plural(phrase: str) -> str:
    for singular, plural in (("waits", "wait"), ("has", "have"), ("is", "are"), ("never", "never")):
        if phrase.startswith(singular):
            phrase = plural + phrase[len(singular) :]
            break
    return phrase.replace(": it has ", ": they have ").replace(": it is ", ": they are ").replace(" its ", " their ")


def _forgotten(launch: _CutLaunch) -> str:
    """Explain a message that never arrives because the rank at its other end dropped it instead of waiting for it."""
    blocked = launch.blocked().values()
    pairs = [pair for send, receive in matched_messages(launch.ops) for pair in ((send, receive), (receive, send))]
    forgotten = {other.rank: other for op, other in pairs if op in blocked and other.is_forgotten}
    sentences = [
        f"rank {rank} issued {op.call}{at_line(op.site)} and never waited for it"
        for rank, op in sorted(forgotten.items())
    ]
    if not sentences:
        return ""
    return f"{', '.join(sentences)}. A message is lost with its handle: keep it and wait() for it."


def _tags(launch: _CutLaunch) -> str:
    """Explain a send and a receive that look for each other under different tags."""
    for op in launch.blocked().values():
        if op.op not in POINT_TO_POINT or op.peer is None or launch.has_ended(op.peer):
            continue
        for other in launch.ops[op.peer]:
            is_open = other.done_at is None and not other.error
            if is_open and (other.op, other.peer) == (OPPOSITE[op.op], op.rank) and other.tag != op.tag:
                send, receive = (op, other) if op.op == "send" else (other, op)
                return (
                    f"the tags differ: rank {send.rank} sends with tag {send.tag}, "
                    f"rank {receive.rank} receives with tag {receive.tag}."
                )
    return ""


def _order(launch: _CutLaunch) -> str:
    """Explain members of one group that are in different collectives."""
    kinds: dict[str, set[str]] = defaultdict(set)
    for op in launch.blocked().values():
        if op.op not in (*POINT_TO_POINT, NEW_GROUP):
            kinds[op.group].add(op.kind)
    if any(len(called) > 1 for called in kinds.values()):
        return "every rank of a group must call the same collectives in the same order."
    return ""


def _circle(launch: _CutLaunch) -> str:
    """Explain ranks that wait for each other in a circle."""
    blocked = launch.blocked()
    circle = next(filter(None, (_circle_from(rank, launch, blocked) for rank in blocked)), ())
    if not circle:
        return ""
    who = "both" if len(circle) == 2 else "all"  # noqa: PLR2004 - "both" is two
    ops = {blocked[rank].op for rank in circle}
    others = "" if len(circle) == len(blocked) else f" ({rank_list(sorted(circle))})"
    if ops == {"recv"}:
        return f"{who} wait{others}, nobody sends."
    if ops == {"send"}:
        return f"{who} send{others}, nobody receives; {RENDEZVOUS}"
    if ops == {NEW_GROUP}:
        return "every rank must make the same groups in the same order, those it is no member of included."
    return f"they wait for each other in a circle, {' -> '.join(map(str, (*circle, circle[0])))}."


def _circle_from(start: int, launch: _CutLaunch, blocked: dict[int, CommOp]) -> tuple[int, ...]:
    """Return the ranks of a circle of waiting ranks that begins at `start`; () if there is none."""
    paths: list[tuple[int, ...]] = [(start,)]
    reached: set[int] = set()
    for path in paths:
        for rank in launch.waited_for(blocked[path[-1]]):
            if rank == start:
                return path
            if rank in blocked and rank not in reached:
                reached.add(rank)
                paths.append((*path, rank))
    return ()


def _missing_partner(launch: _CutLaunch) -> str:
    """Explain a message that the rank at its other end, which is not blocked, has not sent or received."""
    blocked = launch.blocked()
    missing = [
        f"rank {op.peer} has not {'received from' if op.op == 'send' else 'sent to'} rank {op.rank}"
        for op in blocked.values()
        if op.op in POINT_TO_POINT and op.peer is not None and op.peer not in blocked
    ]
    return f"{', '.join(missing)}." if missing else ""


# The student reads the first that applies; where it does, a later one would mislead.
EXPLANATIONS = (_forgotten, _tags, _order, _circle, _missing_partner)
