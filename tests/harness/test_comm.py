"""What ranks communicated is found by name and by kind, and counted in bytes of ring algorithms."""

from fractions import Fraction

import pytest

from grader.harness.comm.op import CommOp
from tests.harness.recorded_ranks import Recorded, log


def op(name: str, *, inputs=(), outputs=(), rank: int = 0, root: int | None = None, size: int = 4) -> CommOp:
    """Return one operation of 8-byte elements in a group of `size` ranks."""
    ranks = tuple(range(size))
    return CommOp(
        rank=rank, k=0, op=name, group="0", ranks=ranks, inputs=inputs, outputs=outputs, itemsize=8, root=root
    )


COSTS = {
    "send": (op("send", inputs=(5,)), 40, Fraction(40)),
    "receive": (op("recv", outputs=(5,)), 40, Fraction(0)),
    "all-reduce": (op("all_reduce", inputs=(5,), outputs=(5,)), 40, Fraction(60)),
    "coalesced all-reduce": (op("all_reduce_coalesced", inputs=(2, 3), outputs=(2, 3)), 40, Fraction(60)),
    "all-reduce of three ranks": (op("all_reduce", inputs=(5,), outputs=(5,), size=3), 40, Fraction(160, 3)),
    "reduce-scatter": (op("reduce_scatter", inputs=(2, 2, 2, 2), outputs=(2,)), 64, Fraction(48)),
    "coalesced reduce-scatter": (op("reduce_scatter_single_coalesced", inputs=(8,), outputs=(2,)), 64, Fraction(48)),
    "all-gather": (op("all_gather", inputs=(2,), outputs=(2, 2, 2, 2)), 64, Fraction(48)),
    "all-gather as one tensor": (op("all_gather_single", inputs=(2,), outputs=(8,)), 64, Fraction(48)),
    "all-to-all as one tensor": (op("all_to_all_single", inputs=(2, 2, 2, 2), outputs=(2, 2, 2, 2)), 64, Fraction(48)),
    "uneven all-to-all": (op("all_to_all", inputs=(1, 5, 0, 2), outputs=(1, 1, 1, 1)), 64, Fraction(56)),
    "broadcast": (op("broadcast", inputs=(5,), outputs=(5,), root=0), 40, Fraction(40)),
    "reduce": (op("reduce", inputs=(5,), outputs=(5,), root=0), 40, Fraction(40)),
    "scatter at the root": (op("scatter", inputs=(2, 2, 2, 2), outputs=(2,), root=0), 64, Fraction(48)),
    "scatter elsewhere": (op("scatter", outputs=(2,), root=1), 64, Fraction(0)),
    "gather at the root": (op("gather", inputs=(2,), outputs=(2, 2, 2, 2), root=0), 64, Fraction(0)),
    "gather elsewhere": (op("gather", inputs=(2,), root=1), 64, Fraction(16)),
    "barrier": (op("barrier"), 0, Fraction(0)),
    "all-reduce of one rank": (op("all_reduce", inputs=(5,), outputs=(5,), size=1), 40, Fraction(0)),
}


@pytest.mark.parametrize(("operation", "payload", "sent"), COSTS.values(), ids=COSTS.keys())
def test_wire_model_gives_exact_bytes(operation, payload, sent):
    """A rank sends the bytes of a ring algorithm, as an exact fraction."""
    assert (operation.payload_bytes, operation.bytes_sent) == (payload, sent)


def test_operations_are_found_by_name_and_by_kind():
    """`all_gather` means every form of it; a form's own name means that form only."""
    comm = log(
        Recorded().call("all_gather").call("all_gather_single").call("all_reduce"), Recorded().call("send", peer=0)
    )

    assert [comm.count(name) for name in (None, "all_gather", "all_gather_single", "send", "barrier")] == [
        4,
        2,
        1,
        1,
        0,
    ]
    assert comm.count(rank=1) == 1
    assert (comm.messages_sent_per_rank(), comm.messages_received_per_rank()) == ((0, 1), (0, 0))


def test_overlap_shows_in_the_order_of_events():
    """Operations overlap if one is issued before the other is waited for, and not if each is waited for at once."""
    overlapping = log(Recorded().issue("all_reduce").issue("all_reduce").wait(0).done(0).wait(1).done(1))
    serial = log(Recorded().call("all_reduce").call("all_reduce"))

    first, second = overlapping.ops()
    assert first.issued_at < second.issued_at < first.waited_at < first.done_at < second.waited_at
    first, second = serial.ops()
    assert first.issued_at == first.waited_at < first.done_at < second.issued_at


def test_groups_are_told_apart_by_their_ranks():
    """`within` keeps the operations of the groups with exactly these members."""
    first = Recorded(3).call("all_reduce").call("all_reduce", 6, name="1", ranks=(0, 2))
    comm = log(
        first,
        Recorded(3).call("all_reduce"),
        Recorded(3).call("all_reduce").call("all_reduce", 6, name="1", ranks=(0, 2)),
    )

    assert comm.within([2, 0]).count() == 2
    assert comm.within([0, 2]).bytes_sent_per_rank() == (24, 0, 24)
    assert comm.payload_bytes("all_reduce", rank=0) == 16 + 24


def test_a_log_is_short_where_it_is_shown():
    """In the explanation of a failed assertion a log is one line of counts."""
    ranks = (
        Recorded(3).call("send", peer=1),
        Recorded(3).call("recv", peer=0).call("send", peer=2),
        Recorded(3).call("recv", peer=1),
    )
    assert repr(log(*ranks)) == "<CommLog of 3 ranks: 2 send, 2 recv>"
    assert repr(log(Recorded())) == "<CommLog of 1 ranks: nothing>"


def test_the_groups_that_a_rank_made_are_known():
    """Groups come in the order of making with all their ranks, even if the rank is not a member; the default one is left out."""
    comm = log(
        Recorded(3).new_group("0", [0, 1, 2], api="init_process_group").new_group("1", [2, 0]).new_group("2", [1]),
        Recorded(3).new_group("0", [0, 1, 2], api="init_process_group"),
        Recorded(3),
    )

    assert [comm.groups_made(rank) for rank in range(3)] == [((2, 0), (1,)), (), ()]
    assert comm.count() == 0
