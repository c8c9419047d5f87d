"""What a launch leaves behind, before anybody interprets it."""

from dataclasses import dataclass

from grader.harness.protocol.messages import LaunchRequest, LaunchStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class RankRemains:
    """What one rank left behind, as bytes: nothing in it is to be trusted."""

    result: bytes | None
    journal: bytes
    stacks: str
    log: str
    log_dropped_bytes: int
    node: str = ""
    """The machine it ran on, if it was another than the judge's."""

    folder: str = ""
    """Where its sources lay, if the supervisor could say so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remains:
    """What one launch left behind. `status` is None when the supervisor could not report."""

    request: LaunchRequest
    ranks: tuple[RankRemains, ...]
    status: LaunchStatus | None
    deadline_passed: bool
    flooded: bool
    zygote_died: bool
    supervisor_failed: bool
    seconds: float
