"""What a launch leaves behind, before anybody interprets it."""

from dataclasses import dataclass

from grader.harness.protocol.messages import LaunchRequest, LaunchStatus

MAX_RESULT_BYTES = 128 << 20
"""Of one rank's result, and of all results of a launch together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankRemains:
    """What one rank left behind, as bytes. None of it can be trusted."""

    result: bytes | None
    journal: bytes
    stacks: str
    log: str
    log_dropped_bytes: int
    node: str = ""
    """The machine it ran on, if that is not the judge's."""

    folder: str = ""
    """Where its sources lay, if the supervisor reported it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remains:
    """What one launch left behind."""

    request: LaunchRequest
    ranks: tuple[RankRemains, ...]
    status: LaunchStatus | None
    """None if the supervisor could not report."""

    deadline_passed: bool
    flooded: bool
    zygote_died: bool
    supervisor_failed: bool
    seconds: float
    refused_bytes: int = 0
    """The size of all results together if that was more than MAX_RESULT_BYTES; then none of them was read."""
