"""From what a launch left behind to a Run, or to the one failure that explains it best.

Order matters: a crash or an exception on one rank breaks the connections of the others, whose errors are only echoes.
The first genuine cause is reported, and echoes are dropped.
"""

import re
import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from grader.harness.comm.gloo_bytes import unaccounted
from grader.harness.comm.log import CommLog
from grader.harness.comm.streams import misdirected
from grader.harness.comm.waiting import who_waits
from grader.harness.launch.rank_errors import LOST_CONNECTION, error_text, is_echo, mistake_of, name_of
from grader.harness.launch.remains import MAX_RESULT_BYTES, RankRemains, Remains
from grader.harness.mistake import Mistake
from grader.harness.outcome import Outcome, StudentFailure, still_a_gap
from grader.harness.protocol import frame
from grader.harness.protocol.codec import Allowance
from grader.harness.protocol.journal import read_journal
from grader.harness.protocol.messages import RankError
from grader.harness.protocol.sources import roots
from grader.harness.run import Run
from grader.harness.wording import at_line, exit_text

MAX_SHOWN_LOG = 1500
STUB_MESSAGE = "TODO("
OBSERVED = "observed"
"""The name under which a program returns what it saw of the student's code."""

STACK_LINE = re.compile(r'^  File "(?P<file>.+)", line (?P<line>\d+) in (?P<function>.+)$', re.MULTILINE)


def verdict_on(remains: Remains) -> Run:
    """Return the Run of a launch in which every rank returned.

    Raises: StudentFailure for every other end, with the explanation that the student reads.
    """
    journals = tuple(read_journal(rank.journal) for rank in remains.ranks)
    if (too_much := _too_much(remains)) is not None:
        raise too_much
    allowance = Allowance()
    results = tuple(_result(rank, allowance) for rank in remains.ranks)
    comm = CommLog(journals)
    for explain in (
        _zygote_died,
        _flooded,
        _changed,
        _raised,
        _deadline,
        _died,
        _unreadable,
        _mismatched,
        _unaccounted,
    ):
        failure = explain(remains, results, comm)
        if failure is not None:
            raise failure
    assert remains.status is not None
    returned = [result for result in results if isinstance(result, dict)]
    observed = tuple(_observations(result) for result in returned)
    return Run(
        _values=tuple({name: value for name, value in result.items() if name != OBSERVED} for result in returned),
        _observed=observed,
        _comm=comm,
        log=tuple(rank.log for rank in remains.ranks),
        orphans=remains.status.orphans,
        max_rss_kb=tuple(exited.max_rss_kb for exited in remains.status.ranks),
    )


@dataclass(frozen=True, slots=True)
class Changed:
    """The rank found after its program that something that observes student code was no longer what it had been."""

    name: str


Result = dict[str, Any] | RankError | Changed | str | None


def _result(rank: RankRemains, allowance: Allowance) -> Result:
    """Return the program's dict, or the error it reported; a sentence if neither can be read, None if nothing was written."""
    if rank.result is None:
        return None
    try:
        match frame.unpack(rank.result, allowance=allowance):
            case frame.Frame("returned", dict() as returned):
                return returned
            case frame.Frame("raised", dict() as raised):
                return msgspec.convert(raised, RankError)
            case frame.Frame("changed", str() as name):
                return Changed(name)
    except (frame.MalformedFrameError, msgspec.ValidationError) as error:
        return str(error)
    return "The frame holds neither what the program returned nor an error."


def _observations(result: dict[str, Any]) -> dict[str, Any]:
    observed = result.get(OBSERVED)
    return observed if isinstance(observed, dict) else {}


def _zygote_died(remains: Remains, _results: Sequence[Result], _comm: CommLog) -> StudentFailure | None:
    if not remains.zygote_died and remains.status is not None:
        return None
    return _killed()


def _killed() -> StudentFailure:
    return StudentFailure(
        "The processes that start and watch the ranks were killed during this test. "
        "Code that sends signals to processes it did not start does this.",
        outcome=Outcome.CRASHED,
        mistake=Mistake.KILLED,
    )


def _flooded(remains: Remains, _results: Sequence[Result], _comm: CommLog) -> StudentFailure | None:
    if not remains.flooded:
        return None
    dropped = sum(rank.log_dropped_bytes for rank in remains.ranks)
    return StudentFailure(
        f"The ranks printed more than {dropped >> 20} MiB; the launch was ended. Is there a print in an endless loop?",
        outcome=Outcome.CRASHED,
        mistake=Mistake.FLOODED,
    )


def _changed(remains: Remains, results: Sequence[Result], _comm: CommLog) -> StudentFailure | None:
    for rank, result in enumerate(results):
        if isinstance(result, Changed):
            return StudentFailure(
                f"{name_of(rank, remains)} has replaced {result.name}, by which the test observes it. Such a launch counts as "
                "failed. Let your file change only what it defines.",
                mistake=Mistake.OBSERVER_CHANGED,
            )
    return None


def _too_much(remains: Remains) -> StudentFailure | None:
    size = remains.refused_bytes or sum(len(rank.result or b"") for rank in remains.ranks)
    if size <= MAX_RESULT_BYTES:
        return None
    text = f"The ranks returned {size >> 20} MiB together, and at most {MAX_RESULT_BYTES >> 20} MiB travel."
    return StudentFailure(text, mistake=Mistake.NOT_DATA)


def _raised(remains: Remains, results: Sequence[Result], comm: CommLog) -> StudentFailure | None:
    errors = {rank: result for rank, result in enumerate(results) if isinstance(result, RankError)}
    if not errors:
        return None
    causes = {rank: error for rank, error in errors.items() if not is_echo(error)}
    if not causes:
        return None  # all are echoes of a rank that died or of ranks that disagreed, which later functions explain
    rank, error = min(causes.items())
    if error.type == "NotImplementedError" and error.message.startswith(STUB_MESSAGE):
        return StudentFailure(still_a_gap(error.message), outcome=Outcome.NOT_ATTEMPTED)
    parts = [error_text(rank, error, remains), *_mismatch_hint(comm), *_log_text(rank, remains)]
    return StudentFailure("\n".join(parts), mistake=mistake_of(error, remains))


def _deadline(remains: Remains, results: Sequence[Result], comm: CommLog) -> StudentFailure | None:
    if not remains.deadline_passed:
        return None
    count = remains.request.world_size
    ranks = f"Launch of {count} ranks" if count > 1 else "The call"
    states = tuple(_state(rank, results[rank], remains) for rank in range(count))
    parts = [
        f"{ranks} passed its {remains.request.timeout_s:g} s deadline and was ended.",
        who_waits(comm, states),
        *_mismatch_hint(comm),
        *_stack_texts(remains),
    ]
    waits = any(op.waited_at is not None and op.done_at is None and not op.error for op in comm.ops())
    mistake = Mistake.DEADLOCK if waits else Mistake.DEADLINE
    return StudentFailure("\n".join(part for part in parts if part), outcome=Outcome.TIMED_OUT, mistake=mistake)


def _state(rank: int, result: Result, remains: Remains) -> str:
    """Return what a rank was doing when the launch was cut, apart from communicating; "" if unknown."""
    if isinstance(result, dict):
        return "has returned"
    if isinstance(result, RankError):
        return f"has raised {result.type}"
    assert remains.status is not None
    exited = remains.status.ranks[rank]
    if not exited.cut:
        return f"has ended with {exit_text(exited.exit_code)}"
    lines = _stack(remains.ranks[rank])
    return f"is at {lines[0]}" if lines else ""


def _died(remains: Remains, results: Sequence[Result], comm: CommLog) -> StudentFailure | None:
    assert remains.status is not None
    exits = remains.status.ranks
    silent = [rank for rank, result in enumerate(results) if result is None]
    if not silent:
        return None
    dead = [rank for rank in silent if not exits[rank].cut]
    if not dead:
        return _cut_by_another(remains, results)
    rank = dead[0]
    text = f"{name_of(rank, remains)} ended with {exit_text(exits[rank].exit_code)} before it returned a result."
    if exits[rank].exit_code == 0:
        text += " os._exit() in the code ends a rank like this."
    if exits[rank].exit_code == -signal.SIGABRT:
        text += " gloo aborts a rank that receives more bytes than its tensor has room for."
    if last := comm.ops(rank=rank)[-1:]:
        text += f" The last that it communicated was {last[0].call}{at_line(last[0].site)}."
    mismatches = comm.mismatches()[:2]
    parts = [text, *mismatches, *_stack_texts(remains, only=rank), *_log_text(rank, remains)]
    mistake = Mistake.MISMATCH if mismatches else Mistake.CRASHED
    return StudentFailure("\n".join(parts), outcome=Outcome.CRASHED, mistake=mistake)


def _cut_by_another(remains: Remains, results: Sequence[Result]) -> StudentFailure | None:
    """Explain why the supervisor cut ranks before the deadline: another rank had ended badly, or killed something."""
    assert remains.status is not None
    if any(isinstance(result, RankError) for result in results):
        return None  # an echo, which `_unreadable` explains
    for rank, exited in enumerate(remains.status.ranks):
        if not exited.cut and exited.exit_code != 0:
            text = f"ended with {exit_text(exited.exit_code)} after it had returned, when others had not."
            return StudentFailure(f"{name_of(rank, remains)} {text}", outcome=Outcome.CRASHED)
    return _killed()


def _unreadable(remains: Remains, results: Sequence[Result], comm: CommLog) -> StudentFailure | None:
    for rank, result in enumerate(results):
        if isinstance(result, str):
            text = f"{name_of(rank, remains)} left a result that cannot be read. {result}"
            return StudentFailure(text, mistake=Mistake.UNREADABLE)
    echoes = [(rank, result) for rank, result in enumerate(results) if isinstance(result, RankError)]
    if not echoes:
        return None
    parts = [error_text(*echoes[0], remains), LOST_CONNECTION, *_mismatch_hint(comm)]
    return StudentFailure("\n".join(parts), mistake=mistake_of(echoes[0][1], remains))


def _mismatched(_remains: Remains, _results: Sequence[Result], comm: CommLog) -> StudentFailure | None:
    if not comm.is_complete:  # every rank has returned, so only a flood or code that changed the recorder leaves gaps
        return StudentFailure(
            "The record of what the ranks communicated is not complete, so it cannot be judged. "
            "Communicate less, or leave the recorder alone.",
            mistake=Mistake.RECORD_INCOMPLETE,
        )
    mismatches = comm.mismatches()
    return StudentFailure("\n".join(mismatches), mistake=Mistake.MISMATCH) if mismatches else None


def _unaccounted(remains: Remains, _results: Sequence[Result], comm: CommLog) -> StudentFailure | None:
    assert remains.status is not None
    request = remains.request
    # Processes that a rank starts communicate unrecorded, and so do groups that it makes for itself.
    if remains.status.traffic is None or not request.is_recorded or request.children:
        return None
    sentence = unaccounted(comm, remains.status.traffic)
    if sentence is None and remains.status.streams is not None:
        sentence = misdirected(comm, remains.status.streams)
    return None if sentence is None else StudentFailure(sentence, mistake=Mistake.UNRECORDED_TRAFFIC)


def _mismatch_hint(comm: CommLog) -> Iterable[str]:
    return comm.mismatches()[:2]


def _log_text(rank: int, remains: Remains) -> Iterable[str]:
    log = remains.ranks[rank].log.strip()
    if log:
        shown = log if len(log) <= MAX_SHOWN_LOG else f"...{log[-MAX_SHOWN_LOG:]}"
        yield f"Rank {rank} printed:\n{shown}"


def _stack_texts(remains: Remains, only: int | None = None) -> Iterable[str]:
    for rank, left in enumerate(remains.ranks):
        lines = _stack(left)
        if lines and only in (None, rank):
            yield f"Rank {rank}'s stack, innermost first: {' <- '.join(lines)}"


def _stack(rank: RankRemains) -> list[str]:
    """Return the lines of a faulthandler dump that are in the student's file or a program, innermost first."""
    found = []
    for match in STACK_LINE.finditer(rank.stacks):
        for folder in roots(rank.folder):
            if match["file"].startswith(folder + "/"):
                found.append(f"{match['file'][len(folder) + 1 :]}:{match['line']} in {match['function']}")
                break
    return found[:8]
