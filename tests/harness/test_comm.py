"""What ranks communicated is counted by the wire model, and what does not fit together is said."""

from fractions import Fraction

import pytest

from grader.harness.comm.log import CommLog
from grader.harness.comm.op import CommOp
from tests.harness.recorded_ranks import Recorded, log


def op(name: str, *, inputs=(), outputs=(), rank: int = 0, root: int | None = None, size: int = 4) -> CommOp:
    """Return one operation of 8-byte elements in a group of `size` ranks."""
    ranks = tuple(range(size))
    return CommOp(
        rank=rank, k=0, op=name, group="0", ranks=ranks, inputs=inputs, outputs=outputs, itemsize=8, root=root
    )


@pytest.mark.parametrize(
    ("operation", "payload", "sent"),
    [
        (op("send", inputs=(5,)), 40, Fraction(40)),
        (op("recv", outputs=(5,)), 40, Fraction(0)),
        (op("all_reduce", inputs=(5,), outputs=(5,)), 40, Fraction(60)),
        (op("all_reduce_coalesced", inputs=(2, 3), outputs=(2, 3)), 40, Fraction(60)),
        (op("all_reduce", inputs=(5,), outputs=(5,), size=3), 40, Fraction(160, 3)),
        (op("reduce_scatter", inputs=(2, 2, 2, 2), outputs=(2,)), 64, Fraction(48)),
        (op("reduce_scatter_single_coalesced", inputs=(8,), outputs=(2,)), 64, Fraction(48)),
        (op("all_gather", inputs=(2,), outputs=(2, 2, 2, 2)), 64, Fraction(48)),
        (op("all_gather_single", inputs=(2,), outputs=(8,)), 64, Fraction(48)),
        (op("all_to_all_single", inputs=(2, 2, 2, 2), outputs=(2, 2, 2, 2)), 64, Fraction(48)),
        (op("all_to_all", inputs=(1, 5, 0, 2), outputs=(1, 1, 1, 1)), 64, Fraction(56)),
        (op("broadcast", inputs=(5,), outputs=(5,), root=0), 40, Fraction(40)),
        (op("reduce", inputs=(5,), outputs=(5,), root=0), 40, Fraction(40)),
        (op("scatter", inputs=(2, 2, 2, 2), outputs=(2,), root=0), 64, Fraction(48)),
        (op("scatter", outputs=(2,), root=1), 64, Fraction(0)),
        (op("gather", inputs=(2,), outputs=(2, 2, 2, 2), root=0), 64, Fraction(0)),
        (op("gather", inputs=(2,), root=1), 64, Fraction(16)),
        (op("barrier"), 0, Fraction(0)),
        (op("all_reduce", inputs=(5,), outputs=(5,), size=1), 40, Fraction(0)),
    ],
    ids=range(19),
)
def test_wire_model_gives_exact_bytes(operation, payload, sent):
    """Bytes that a rank sends are those of a ring, as exact fractions."""
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


def messages(world_size: int, *pairs: tuple[int, int]) -> CommLog:
    """Return the log of blocking messages that each rank handles in the given order."""
    ranks = [Recorded(world_size) for _ in range(world_size)]
    for source, destination in pairs:
        ranks[source].call("send", peer=destination)
        ranks[destination].call("recv", peer=source)
    return log(*ranks)


@pytest.mark.parametrize(
    ("pairs", "rounds"),
    [
        ([], 0),
        ([(0, 1)], 1),
        ([(0, 4), (0, 2), (4, 6), (0, 1), (2, 3), (4, 5), (6, 7)], 3),
        ([(1, 0), (3, 2), (5, 4), (7, 6), (2, 0), (6, 4), (4, 0)], 3),
        ([(0, rank) for rank in range(1, 8)], 7),
        ([(rank, 0) for rank in range(1, 8)], 7),
        ([(rank, rank + 1) for rank in range(7)], 7),
    ],
    ids=["nothing", "one", "tree broadcast", "tree reduce", "star from root", "star to root", "chain"],
)
def test_rounds_are_the_critical_path(pairs, rounds):
    """A rank sends one message and receives one per round, and passes on only what it has received before."""
    assert messages(8, *pairs).rounds() == rounds


def test_a_ring_of_asynchronous_sends_takes_one_round_per_step():
    """Sending and receiving at once share a round."""
    ring = [Recorded(3) for _ in range(3)]
    for _ in range(4):
        for rank, recorded in enumerate(ring):
            recorded.issue("send", peer=(rank + 1) % 3).issue("recv", peer=(rank - 1) % 3)
            recorded.wait(recorded.num_ops - 1).done(recorded.num_ops - 1).wait(recorded.num_ops - 2).done(
                recorded.num_ops - 2
            )

    assert log(*ring).rounds() == 4


def test_rounds_end_on_journals_that_make_no_sense():
    """A receive that ended before its send began does not hang the judge."""
    assert (
        log(
            Recorded().call("recv", peer=1).call("send", peer=1), Recorded().call("recv", peer=0).call("send", peer=0)
        ).rounds()
        == 0
    )


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
    assert repr(messages(3, (0, 1), (1, 2))) == "<CommLog of 3 ranks: 2 send, 2 recv>"
    assert repr(log(Recorded())) == "<CommLog of 1 ranks: nothing>"


def test_the_groups_that_a_rank_made_are_known():
    """Groups come in the order of making with all their ranks, whether the rank is one of them; the default one is left out."""
    comm = log(
        Recorded(3).new_group("0", [0, 1, 2], api="init_process_group").new_group("1", [2, 0]).new_group("2", [1]),
        Recorded(3).new_group("0", [0, 1, 2], api="init_process_group"),
        Recorded(3),
    )

    assert [comm.groups_made(rank) for rank in range(3)] == [((2, 0), (1,)), (), ()]
    assert comm.count() == 0


FITTING = {
    "shapes of equal size": [lambda r: r.call("all_reduce", 6, line=1), lambda r: r.call("all_reduce", 6, line=2)],
    "list and single form": [
        lambda r: r.call("all_gather", outputs=(4, 4)),
        lambda r: r.call("all_gather_single", outputs=(8,)),
    ],
    "uneven all-to-all": [
        lambda r: r.call("all_to_all_single", inputs=(1, 2), outputs=(1, 3)),
        lambda r: r.call("all_to_all_single", inputs=(3, 0), outputs=(2, 0)),
    ],
    "a killed rank": [lambda r: r.call("all_reduce").call("barrier"), lambda r: r.call("all_reduce")],
    "scatter and gather": [
        lambda r: r.call("scatter", inputs=(4, 4), root=0).call("gather", outputs=(4, 4), root=0),
        lambda r: r.call("scatter", inputs=(), root=0).call("gather", outputs=(), root=0),
    ],
    "messages out of order by tag": [
        lambda r: r.call("send", 1, peer=1, tag=1).call("send", 2, peer=1, tag=2),
        lambda r: r.call("recv", 2, peer=0, tag=2).call("recv", 1, peer=0, tag=1),
    ],
    "receives of unknown source": [
        lambda r: r.call("send", 1, peer=1).call("send", 2, peer=1),
        lambda r: r.stuck("recv", peer=None).call("recv", 5, peer=0),
    ],
    "branches on different lines": [
        lambda r: r.call("all_reduce", line=1).call("all_reduce", line=3),
        lambda r: r.call("all_reduce", line=2).call("all_reduce", line=3),
    ],
}


@pytest.mark.parametrize("programs", FITTING.values(), ids=FITTING.keys())
def test_what_is_right_in_some_program_is_not_a_mismatch(programs):
    """Only what is wrong in every program is reported."""
    assert log(*(program(Recorded()) for program in programs)).mismatches() == ()


@pytest.mark.parametrize(
    ("one", "other", "sentence"),
    [
        (
            lambda r: r.call("barrier", dtype="").call("all_reduce").call("all_reduce", 4, line=12),
            lambda r: r.call("barrier", dtype="").call("all_reduce").call("all_reduce", 5, line=12),
            (
                "The 2nd all_reduce of ranks 0, 1 does not fit: rank 0 gives 4 float32 at x.py:12, "
                "rank 1 gives 5 float32 at x.py:12. Every rank must pass the same number of elements."
            ),
        ),
        (
            lambda r: r.call("all_reduce"),
            lambda r: r.call("all_reduce", dtype="int32"),
            (
                "The 1st all_reduce of ranks 0, 1 does not fit: rank 0 gives 4 float32 at x.py:1, "
                "rank 1 gives 4 int32 at x.py:1. Every rank must pass the same dtype."
            ),
        ),
        (
            lambda r: r.call("all_reduce", reduce_op="SUM"),
            lambda r: r.call("all_reduce", reduce_op="MAX"),
            (
                "The 1st all_reduce of ranks 0, 1 does not fit: rank 0 reduces by SUM at x.py:1, "
                "rank 1 reduces by MAX at x.py:1. Every rank must pass the same reduce operation."
            ),
        ),
        (
            lambda r: r.call("broadcast", root=0),
            lambda r: r.call("broadcast", root=1),
            (
                "The 1st broadcast of ranks 0, 1 does not fit: rank 0 names rank 0 as root at x.py:1, "
                "rank 1 names rank 1 as root at x.py:1. Every rank must name the same root."
            ),
        ),
        (
            lambda r: r.call("all_reduce").stuck("all_reduce", 3),
            lambda r: r.call("all_reduce").stuck("barrier", 4),
            (
                "The 2nd collective of ranks 0, 1 does not fit: rank 0 calls all_reduce at x.py:3, "
                "rank 1 calls barrier at x.py:4. Every rank of a group must call the same collectives in the same order."
            ),
        ),
        (
            lambda r: r.call("all_to_all_single", inputs=(1, 2), outputs=(1, 3)),
            lambda r: r.call("all_to_all_single", inputs=(4, 0), outputs=(2, 0)),
            (
                "The 1st all_to_all_single of ranks 0, 1 does not fit: rank 1 sends 4 float32 to rank 0 at x.py:1, "
                "rank 0 expects 3 from it at x.py:1. What one rank sends to another must be what that one expects from it."
            ),
        ),
        (
            lambda r: r.call("send", 4, peer=1).call("send", 4, peer=1, tag=3, line=5),
            lambda r: r.call("recv", 4, peer=0).call("recv", 5, peer=0, tag=3, line=6),
            (
                "The 1st message from rank 0 to rank 1 with tag 3 does not fit: rank 0 sends 4 float32 at x.py:5, "
                "rank 1 receives into 5 float32 at x.py:6. "
                "A receive needs a tensor of the same number of elements and dtype as was sent."
            ),
        ),
        (
            lambda r: r.new_group("1", [0, 1], 4).new_group("2", [0], 5),
            lambda r: r.new_group("1", [0], 5).new_group("2", [0, 1], 4),
            (
                "The new_group of ranks 0, 1 does not fit: rank 0 gives ranks 0, 1 at x.py:4, rank 1 gives rank 0 at x.py:5. "
                "Every rank must make the same groups in the same order."
            ),
        ),
        (
            lambda r: r.new_group("1", [0, 1], 4).new_group("2", [0, 1], 5),
            lambda r: r.new_group("1", [0, 1], 5).new_group("2", [0, 1], 4),
            (
                "Ranks 0, 1 call the same collectives in different orders: the 1st is new_group at x.py:4 on rank 0, "
                "new_group at x.py:5 on rank 1. "
                "Calls meet in the order in which they are made, so each got what was meant for another."
            ),
        ),
        (
            lambda r: r.call("all_reduce", line=1).call("all_reduce", line=2).call("all_reduce", line=3),
            lambda r: r.call("all_reduce", line=1).call("all_reduce", line=3).call("all_reduce", line=2),
            (
                "Ranks 0, 1 call the same collectives in different orders: the 2nd is all_reduce at x.py:2 on rank 0, "
                "all_reduce at x.py:3 on rank 1. "
                "Calls meet in the order in which they are made, so each got what was meant for another."
            ),
        ),
    ],
    ids=["size", "dtype", "reduce op", "root", "operation", "splits", "message", "members", "groups' order", "order"],
)
def test_a_mismatch_is_one_sentence_with_both_lines(one, other, sentence):
    """Ranks, lines and both values are named, and what to do."""
    assert log(one(Recorded()), other(Recorded())).mismatches() == (sentence,)


def test_ranks_that_agree_are_named_together():
    """In a large group the odd one out stands alone."""
    ranks = [Recorded(4).call("all_reduce", 5 if rank == 2 else 4) for rank in range(4)]

    (sentence,) = log(*ranks).mismatches()

    assert "ranks 0, 1, 3 give 4 float32 at x.py:1, rank 2 gives 5 float32 at x.py:1" in sentence


SILENT_IN_GLOO = {
    "dist.all_reduce(torch.ones(4, dtype=torch.float32 if rank == 0 else torch.int32))": "4 float32 at work.py:6, rank 1 gives 4 int32",
    "dist.all_reduce(torch.ones(4), op=dist.ReduceOp.SUM if rank == 0 else dist.ReduceOp.MAX)": "rank 1 reduces by MAX",
    "dist.all_reduce(torch.ones(4 + rank))": "rank 1 gives 5 float32 at work.py:6",
    "dist.send(x, 1) if rank == 0 else dist.recv(torch.empty(6), 0)": "rank 1 receives into 6 float32 at work.py:6",
    "dist.send(x, 1) if rank == 0 else dist.recv(torch.empty(3), 0)": "rank 1 receives into 3 float32 at work.py:6",
    "for i in (rank, 1 - rank): (a if i else b)(x)": "different orders: the 1st is all_reduce at work.py:8 on rank 0",
}


@pytest.mark.parametrize(("line", "expected"), SILENT_IN_GLOO.items(), ids=range(len(SILENT_IN_GLOO)))
def test_what_gloo_answers_with_garbage_or_an_abort_is_explained(ranks, line, expected):
    """The launch fails, and its explanation says what did not fit."""
    ranks.write(
        f"""
        import torch, torch.distributed as dist
        def solve():
            rank = dist.get_rank()
            x = torch.ones(5)
            {line}
        def a(x): dist.all_reduce(x)
        def b(x): dist.all_reduce(x)
        """
    )

    with pytest.raises(AssertionError) as caught:
        ranks.run(2, timeout_s=5)

    assert expected in str(caught.value)


def test_models_of_torch_itself_have_no_mismatch(ranks):
    """Object collectives, DDP with buckets and uneven all-to-alls pass."""
    ranks.write(
        """
        import torch, torch.distributed as dist
        def solve():
            rank = dist.get_rank()
            dist.all_gather_object([None, None], {"a": "x" * (10 + 90 * rank)})
            dist.broadcast_object_list([rank, None])
            dist.scatter_object_list([None], ["a", "bcd"] if rank == 0 else None)
            dist.gather_object("y" * rank, [None, None] if rank == 0 else None)
            model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(3 , 2), bucket_cap_mb=1e-5)
            model(torch.ones(2 + rank, 3)).sum().backward()
            sent, received = [[1, 2], [3, 1]][rank], [[1, 3], [2, 1]][rank]
            dist.all_to_all_single(torch.empty(sum(received)), torch.ones(sum(sent)), received, sent)
            return 1
        """
    )

    assert ranks.run(2)["value"] == (1, 1)
