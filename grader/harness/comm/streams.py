"""Whether messages went between the ranks that recorded them.

How many bytes went through a launch's network, `wire` knows for every operation; who wrote them it does not ask. For
messages from rank to rank the kernel's account of each connection says it: gloo has one connection for each pair of a group's
members, so what a rank says that it sent to a peer in a group is what one end of one connection has sent. The kernel does
not know which connection is whose: what is compared are the sizes, sorted. So a star is no ring; but who invents messages of
the right sizes between the wrong ranks is not seen.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from grader.harness.comm.gloo_bytes import PREAMBLE_BYTES, may_be_partial
from grader.harness.comm.log import CommLog
from grader.harness.comm.op import NEW_GROUP, POINT_TO_POINT, CommOp

# Beside messages: greetings, empty messages of barriers, and a rank's connection to the store.
TOLERANCE_BYTES = 4 << 10
STORE_BYTES_PER_RANK = 512
NEXT_TO_NOTHING = frozenset((NEW_GROUP, "barrier"))
Stream = tuple[str, int, int, int]  # group, how often one of that name was made before, sender, receiver


def misdirected(comm: CommLog, streams: Sequence[int]) -> str | None:
    """Return the sentence for a student whose ranks sent otherwise than they recorded, None if it fits or nothing can be said.

    streams: bytes that each end of each connection has sent, the most first
    Only launches can be judged that communicated by messages alone, and waited for all of them.
    """
    recorded = list(_recorded(comm))
    if any(may_be_partial(op) or op.kind not in {*POINT_TO_POINT, *NEXT_TO_NOTHING} for _, op in recorded):
        return None
    expected = sorted(_written(recorded).values(), reverse=True)
    length = max(len(expected), len(streams))
    padded = ([*sizes, *[0] * (length - len(sizes))] for sizes in (expected, streams))
    for said, sent in zip(*padded, strict=True):
        if abs(said - sent) > TOLERANCE_BYTES + STORE_BYTES_PER_RANK * comm.world_size:
            return (
                f"The ranks sent otherwise than they called torch.distributed for: from one rank to one other "
                f"{said:,} bytes are on record where the network carried {sent:,}. "
                "Let torch.distributed do the communication, and leave its process groups as they are."
            )
    return None


def _recorded(comm: CommLog) -> Iterator[tuple[int, CommOp]]:
    """Yield each operation after the number of groups of its group's name that its rank had made by then."""
    for ops in comm.recorded:
        made: Counter[str] = Counter()
        for op in ops:
            made[op.group] += op.kind == NEW_GROUP
            yield made[op.group], op


def _written(recorded: Sequence[tuple[int, CommOp]]) -> Counter[Stream]:
    """Return what each member of each group wrote to each other: see `wire` for what a message costs its two ends."""
    written: Counter[Stream] = Counter()
    for number, op in recorded:
        if op.kind in POINT_TO_POINT and op.peer is not None:
            is_send = op.kind == "send"
            written[op.group, number, op.rank, op.peer] += PREAMBLE_BYTES * (1 + is_send) + is_send * op.input_bytes
    return written
