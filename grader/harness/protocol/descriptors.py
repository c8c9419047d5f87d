"""The descriptors that travel with a LaunchRequest: what each is, and the order in which all are sent.

Order: status, sources; of a part, `step` and, if `request.listens`, `listening`; then for each rank those of
`RankDescriptors`.
"""

from collections.abc import Sequence
from typing import NamedTuple

from grader.harness.protocol.messages import LaunchRequest


class RankDescriptors(NamedTuple):
    """What the judge gives one rank."""

    inputs: int
    """Memory file: the frame with the arguments of the program. Sealed, so nobody can change it."""

    result: int
    """Memory file for the frame with what the program returned or raised."""

    journal: int
    """Memory file for the rank's communication."""

    stacks: int
    """Memory file for the stacks of the rank's threads at the deadline."""

    log: int
    """Write end of the pipe for what the rank prints."""


class PartDescriptors(NamedTuple):
    """The sockets that a part of a launch shares with the other parts."""

    step: int
    """On it the parts keep step."""

    listening: int | None
    """On it rank 0 serves the store where all ranks meet; None in a part without rank 0, or without a process group."""


class LaunchDescriptors(NamedTuple):
    """All descriptors of one launch, or of one part of a launch."""

    status: int
    """Write end of the pipe for the supervisor's LaunchStatus."""

    sources: int
    """Memory file with the files of the launch, as `pack_sources` returns them. Sealed, too."""

    part: PartDescriptors | None
    """None if the launch has only one part."""

    ranks: tuple[RankDescriptors, ...]
    """In the order of `request.ranks`."""


def pack_descriptors(descriptors: LaunchDescriptors) -> list[int]:
    """Return the descriptors in the order in which they are sent."""
    shared = [] if descriptors.part is None else [socket for socket in descriptors.part if socket is not None]
    of_ranks = [descriptor for rank in descriptors.ranks for descriptor in rank]
    return [descriptors.status, descriptors.sources, *shared, *of_ranks]


def unpack_descriptors(sent: Sequence[int], request: LaunchRequest) -> LaunchDescriptors:
    """Return what `pack_descriptors` was given, from the descriptors that came with `request`."""
    status, sources, *rest = sent
    part = None
    if request.part is not None:
        part = PartDescriptors(rest.pop(0), rest.pop(0) if request.listens else None)
    per_rank = len(RankDescriptors._fields)
    assert len(rest) == per_rank * len(request.ranks), f"{len(sent)} descriptors for {len(request.ranks)} ranks"
    ranks = tuple(RankDescriptors(*rest[i : i + per_rank]) for i in range(0, len(rest), per_rank))
    return LaunchDescriptors(status, sources, part, ranks)
