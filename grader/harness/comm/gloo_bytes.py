"""What gloo puts on the loopback interface for the communication that ranks recorded, and whether the kernel counted it.

Ranks share nothing but the loopback interface of their launch, whose counters they cannot lower. A record that leaves
something out, or names what never happened, therefore disagrees with the kernel.

Payload. The kernel counts each packet with its headers, and how many packets a stream of bytes becomes depends on the
machine's load. Headers of TCP over IPv4 are 52 bytes long, so bytes - 52 * packets is what the programs themselves wrote.
That does not depend on load: gloo writes the same bytes every time. What TCP sends twice does depend on load. Without tail
loss probes (net.ipv4.tcp_early_retrans = 0 in the launch's network) it is next to nothing, with them a few segments.

Messages. A message of L bytes costs gloo three preambles of 48 bytes ("I will send", "I will receive", and the one before
the data), so 144 + L. S is what one rank reads, in bytes, and N the size of the group; nothing is sent in a group of one.

    send, recv              one message of S; its sender writes 96 + S, its receiver 48
    broadcast               N - 1 messages of S, along a binomial tree
    gather, scatter         N - 1 messages of S (of a scatter: what one rank receives)
    all_to_all              a message for every ordered pair of ranks, even for empty parts
    all_gather              2 N (N - 1) messages of half of S, round a ring; none if S is 0
    all_reduce              S is cut into at least 2 N segments, at most 1 MiB each; each goes 2 (N - 1) times round a ring
    reduce_scatter          as an all_reduce of each of its input tensors (gloo has nothing cheaper)
    reduce                  the first half of an all_reduce, then each rank's chunk in one message to the root
    barrier                 N ceil(log2 N) empty messages
    monitored_barrier       2 (N - 1) messages of 4 bytes
    coalesced forms         as the plain form with all tensors in one; reduce_scatter: one after the other
    new_group               N (N - 1) / 2 connections of 24 bytes each, and what the members exchange with the store:
                            8 N^3 + 258 N^2 + 184 N, 3 N^2 + N more for each further character of the group's name or
                            its prefix in the store, N^2 + N for each of the host's name, 30 N for connecting

Source: gloo of torch 2.13 (gloo/{allreduce,reduce,allgather,broadcast,barrier}.cc, gloo/transport/tcp/pair.cc,
torch/csrc/distributed/c10d/ProcessGroupGloo.cpp), compared with the kernel's count at N = 1, 2, 3, 4 and 8.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self

from grader.harness.comm.log import CommLog
from grader.harness.comm.op import NEW_GROUP, CommOp
from grader.harness.protocol.traffic import Traffic

PREAMBLE_BYTES = 48
WRITES_PER_MESSAGE = 3
MAX_SEGMENT_BYTES = 1 << 20
MIN_SEGMENTS_PER_RANK = 2

# The options of the two SYN packets, which are 8 bytes longer than those of other packets, and the 8 bytes that tell gloo
# which pair of ranks a connection belongs to.
CONNECTION_BYTES = 8 + 8 + 8
# A connection that is reset instead of closed has a packet or two of 40 bytes.
RESET_BYTES = 48
TOLERANCE_BYTES = 128
# The store of a default group that was made again may have a prefix; that of the first group is shorter.
PREFIX_CHARACTERS = range(-3, 13)
HOST_CHARACTERS = range(17)
# A segment that is sent again is one packet on the loopback interface. A rank can cause some, and with many of them any
# traffic could be explained, so they are limited: no honest launch, of any size and load, came near a twentieth of its payload.
MAX_PACKET_BYTES = 1 << 16
RETRANSMITTED_AT_MOST = 0.05

# An upper bound on packets: each write in a separate packet that is acknowledged separately, and data in far smaller packets
# than were ever seen. It excludes packets with headers shorter than TCP_HEADER_BYTES, such as UDP's, which would lower the
# payload.
PACKETS_PER_WRITE = 2
BYTES_PER_PACKET = 1 << 13
PACKETS_PER_CONNECTION = 16
STORE_BYTES_PER_PACKET = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What the network of an honest launch with a given record can have carried."""

    low: int
    """The least payload, in bytes."""

    high: int
    """The largest payload, in bytes."""

    packets: int
    """The largest number of packets."""


class _Cost(NamedTuple):
    """One rank's share of operations."""

    writes: float = 0.0
    """The number of writes to connections."""

    data: float = 0.0
    """Bytes of data, without preambles."""

    connections: float = 0.0
    """The number of connections made."""

    store_low: float = 0.0
    """The least that is exchanged with the store, in bytes."""

    store_high: float = 0.0
    """The most that is exchanged with the store, in bytes."""

    @property
    def gloo_bytes(self) -> float:
        return PREAMBLE_BYTES * self.writes + self.data + CONNECTION_BYTES * self.connections

    @property
    def packets(self) -> float:
        by_gloo = PACKETS_PER_WRITE * self.writes + self.data / BYTES_PER_PACKET
        return by_gloo + PACKETS_PER_CONNECTION * self.connections + self.store_high / STORE_BYTES_PER_PACKET


def _messages(num_messages: float, num_bytes: float) -> _Cost:
    return _Cost(writes=WRITES_PER_MESSAGE * num_messages, data=num_bytes)


def _sum(costs: Iterable[_Cost]) -> _Cost:
    columns = zip(_Cost(), *costs, strict=True)  # from a cost of nothing, as there may be no operation
    return _Cost(*(sum(column) for column in columns))


def expected_traffic(comm: CommLog) -> Bounds:
    """Return what the ranks of `comm` can have sent if its record is complete and true.

    An asynchronous operation that is not known to have ended, or one that raised, may have sent any part of its data or none.
    """
    costs = [(op, _cost(op)) for ops in comm.recorded for op in ops]
    everything = _sum(cost for _, cost in costs)
    certain = _sum(cost for op, cost in costs if not may_be_partial(op))
    return Bounds(
        low=max(0, round(certain.gloo_bytes + certain.store_low - RESET_BYTES * certain.connections - TOLERANCE_BYTES)),
        high=round(everything.gloo_bytes + everything.store_high + TOLERANCE_BYTES),
        packets=round(everything.packets + TOLERANCE_BYTES),
    )


def unaccounted(comm: CommLog, traffic: Traffic) -> str | None:
    """Return the sentence for a student whose launch carried more or less than its record explains; None if they agree.

    `comm` must be a complete record (`CommLog.is_complete`) of a launch that ended well.
    """
    expected = expected_traffic(comm)
    carried = traffic.payload_bytes
    most = expected.high + _sent_again(traffic, expected)
    if carried < expected.low:
        return (
            f"The record of this launch names communication that did not take place: what it names takes at least "
            f"{expected.low:,} bytes, and the network carried {max(0, carried):,}. "
            "Let torch.distributed do the communication, and leave its process groups as they are."
        )
    if carried > most:
        return (
            f"The ranks exchanged more than they called torch.distributed for: the calls on record take at most "
            f"{most:,} bytes, and the network carried {carried:,}. {_NO_OTHER_WAY}"
        )
    if traffic.packets > expected.packets + traffic.retransmits:
        return (
            f"The ranks exchanged more packets than they called torch.distributed for: the calls on record take at most "
            f"{expected.packets:,}, and the network carried {traffic.packets:,}. {_NO_OTHER_WAY}"
        )
    return None


_NO_OTHER_WAY = (
    "Ranks may talk to each other through the operations of torch.distributed only: no sockets, no values passed through "
    "a store, no process group that is made past torch.distributed."
)


def _sent_again(traffic: Traffic, expected: Bounds) -> int:
    """Return the most bytes that may have been carried twice."""
    limit = max(2 * MAX_PACKET_BYTES, int(RETRANSMITTED_AT_MOST * expected.high))
    return min(traffic.retransmits * MAX_PACKET_BYTES, limit)


def may_be_partial(op: CommOp) -> bool:
    """Return whether an operation may have sent only a part of its data."""
    # In a launch that ended well every blocking call has returned or raised.
    return op.done_at is None and (op.is_async or op.error != "")


def _cost(op: CommOp) -> _Cost:
    cost = COSTS.get(op.kind)
    return _Cost() if cost is None or op.rank not in op.ranks else cost(op, len(op.ranks))


def _new_group(op: CommOp, size: int) -> _Cost:
    if op.error:
        return (
            _Cost()
        )  # torch refuses before ranks meet. Tests count no groups, so a failed one must not explain traffic.
    per_character, per_host_character = 3 * size + 1, size + 1
    named = 8 * size**2 + 258 * size + 184 + per_character * (len(op.group) - 1)
    least, most = (
        named + per_character * prefix + per_host_character * host
        for prefix, host in ((PREFIX_CHARACTERS[0], HOST_CHARACTERS[0]), (PREFIX_CHARACTERS[-1], HOST_CHARACTERS[-1]))
    )
    # A group of one can meet in memory.
    return _Cost(connections=(size - 1) / 2, store_low=least if size > 1 else 0, store_high=most + 30)


def _send(op: CommOp, _: int) -> _Cost:
    return _Cost(writes=2, data=op.input_bytes)


def _receive(_: CommOp, __: int) -> _Cost:
    return _Cost(writes=1)


def _all_to_all(op: CommOp, size: int) -> _Cost:
    return _messages(size - 1, float(op.bytes_sent))


def _broadcast_or_gather(op: CommOp, size: int) -> _Cost:
    return _messages((size - 1) / size, (size - 1) / size * op.input_bytes)


def _scatter(op: CommOp, size: int) -> _Cost:
    return _messages((size - 1) / size, (size - 1) / size * op.output_bytes)


def _all_gather(op: CommOp, size: int) -> _Cost:
    return _messages(2 * (size - 1), (size - 1) * op.input_bytes) if op.input_bytes else _Cost()


def _all_reduce(op: CommOp, size: int) -> _Cost:
    return _ring(op.input_bytes, op.itemsize, size)


def _reduce_scatter(op: CommOp, size: int) -> _Cost:
    return _sum(_ring(numel * op.itemsize, op.itemsize, size) for numel in op.inputs)


def _reduce(op: CommOp, size: int) -> _Cost:
    if size == 1:
        return _Cost()
    segments = _Segments.of(op.input_bytes, op.itemsize, size).at_full_length(op.itemsize)
    chunks = [range(rank * segments.per_rank, (rank + 1) * segments.per_rank) for rank in range(size)]
    # A rank passes on every segment but the last two of its own chunk, and sends the root the chunk that it has reduced.
    kept = [segments.holding(chunk[-2:]) for chunk in chunks]
    whole = segments.holding(range(size * segments.per_rank))
    reduced = [segments.holding(chunk) for chunk, rank in zip(chunks, op.ranks, strict=True) if rank != op.root]
    passed_on = size * whole.num_segments - sum(part.num_segments for part in kept)
    to_root = sum(part.num_segments > 0 for part in reduced)
    num_bytes = size * whole.num_bytes - sum(part.num_bytes for part in kept) + sum(part.num_bytes for part in reduced)
    return _messages((passed_on + to_root) / size, num_bytes / size)


def _barrier(_: CommOp, size: int) -> _Cost:
    return _messages((size - 1).bit_length(), 0)


def _monitored_barrier(_: CommOp, size: int) -> _Cost:
    return _messages(2 * (size - 1) / size, 2 * (size - 1) / size * 4)


def _ring(num_bytes: int, itemsize: int, size: int) -> _Cost:
    """Return a rank's share of an all-reduce."""
    segments = _Segments.of(num_bytes, itemsize, size)
    whole = segments.holding(range(size * segments.per_rank))
    return _messages(2 * (size - 1) / size * whole.num_segments, 2 * (size - 1) / size * whole.num_bytes)


class _Counted(NamedTuple):
    """Some segments of a tensor."""

    num_segments: int
    """How many of them hold anything."""

    num_bytes: int
    """What they hold together."""


class _Segments(NamedTuple):
    """The pieces of a tensor that go round a ring: equally many for each rank, the last ones shorter or empty.

    They are never listed, because sizes come from the ranks and may be as large as a number can be.
    """

    num_bytes: int
    length: int
    per_rank: int

    @classmethod
    def of(cls, num_bytes: int, itemsize: int, size: int) -> Self:
        most = MAX_SEGMENT_BYTES // itemsize * itemsize
        per_rank = max(MIN_SEGMENTS_PER_RANK, _ceil(_ceil(num_bytes, most), size))
        return cls(num_bytes, itemsize * _ceil(_ceil(num_bytes, size * per_rank), itemsize), per_rank)

    def at_full_length(self, itemsize: int) -> Self:
        """Return the segments of a reduce: all but the last have full length, where those of an all-reduce are equally long."""
        full = MAX_SEGMENT_BYTES // itemsize * itemsize
        return self._replace(length=full) if self.per_rank > MIN_SEGMENTS_PER_RANK else self

    def holding(self, indices: range) -> _Counted:
        """Return how many of these segments hold anything, and how many bytes they hold together."""
        num_filled = _ceil(self.num_bytes, self.length) if self.length else 0
        first, last = (min(index, num_filled) for index in (indices.start, indices.stop))
        begin, end = (min(index * self.length, self.num_bytes) for index in (first, last))
        return _Counted(last - first, end - begin)


def _ceil(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)


COSTS: Mapping[str, Callable[[CommOp, int], _Cost]] = {
    NEW_GROUP: _new_group,
    "send": _send,
    "recv": _receive,
    "all_to_all": _all_to_all,
    "broadcast": _broadcast_or_gather,
    "gather": _broadcast_or_gather,
    "scatter": _scatter,
    "all_gather": _all_gather,
    "all_reduce": _all_reduce,
    "reduce_scatter": _reduce_scatter,
    "reduce": _reduce,
    "barrier": _barrier,
    "monitored_barrier": _monitored_barrier,
}
