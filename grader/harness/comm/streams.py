"""Whether messages went between the ranks that recorded them.

`gloo_bytes` knows how many bytes went through a launch's network, not who sent them. For messages from rank to rank, the
kernel's count of each connection tells more: gloo has one connection for each pair of a group's members, so what a rank
recorded as sent to a peer in a group must be what one end of one connection has sent. The kernel does not know which
connection belongs to whom, so the sizes are sorted and compared. A star is therefore not taken for a ring; but invented
messages of the right sizes between the wrong ranks are not noticed.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

from grader.harness.comm.gloo_bytes import PREAMBLE_BYTES, may_be_partial
from grader.harness.comm.log import CommLog
from grader.harness.comm.op import NEW_GROUP, POINT_TO_POINT, CommOp

# What is sent in addition to messages: greetings, empty messages of barriers, and a rank's traffic with the store.
TOLERANCE_BYTES = 4 << 10
STORE_BYTES_PER_RANK = 512
NEXT_TO_NOTHING = frozenset((NEW_GROUP, "barrier"))


class _Stream(NamedTuple):
    """What one rank sends to another in one group."""

    group: str
    generation: int
    """How many groups of that name the rank had made so far."""

    sender: int
    receiver: int


def misdirected(comm: CommLog, streams: Sequence[int]) -> str | None:
    """Return the sentence for a student whose ranks sent otherwise than they recorded.

    None if what was sent fits the record. None also for launches that cannot be judged like this: those that did more than
    send and receive, or did not wait for all of it.

    streams: bytes that each end of each connection has sent, in descending order
    """
    recorded = list(_recorded(comm))
    if any(may_be_partial(op) or op.kind not in {*POINT_TO_POINT, *NEXT_TO_NOTHING} for _, op in recorded):
        return None
    expected = sorted(_written(recorded).values(), reverse=True)
    for on_record, sent in zip_longest(expected, streams, fillvalue=0):
        if abs(on_record - sent) > TOLERANCE_BYTES + STORE_BYTES_PER_RANK * comm.world_size:
            return (
                f"The ranks sent otherwise than they called torch.distributed for: from one rank to one other "
                f"{on_record:,} bytes are on record where the network carried {sent:,}. "
                "Let torch.distributed do the communication, and leave its process groups as they are."
            )
    return None


def _recorded(comm: CommLog) -> Iterator[tuple[int, CommOp]]:
    """Yield each operation with how many groups of that name its rank had made so far."""
    for ops in comm.recorded:
        made: Counter[str] = Counter()
        for op in ops:
            made[op.group] += op.kind == NEW_GROUP
            yield made[op.group], op


def _written(recorded: Sequence[tuple[int, CommOp]]) -> Counter[_Stream]:
    """Return what each member of each group wrote to each other; `gloo_bytes` says what a message costs its two ends."""
    written: Counter[_Stream] = Counter()
    for generation, op in recorded:
        if op.peer is None:
            continue
        stream = _Stream(op.group, generation, op.rank, op.peer)
        if op.kind == "send":
            written[stream] += 2 * PREAMBLE_BYTES + op.input_bytes
        elif op.kind == "recv":
            written[stream] += PREAMBLE_BYTES
    return written
