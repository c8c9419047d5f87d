"""What ranks passed to torch and does not fit together is explained in a sentence, and nothing else is."""

import pytest

from tests.harness.recorded_ranks import Recorded, log

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
            lambda r: r.call("all_reduce", line=12).call("all_reduce", dtype="uint8", line=20),
            lambda r: r.call("all_reduce", dtype="uint8", line=20),
            (
                "The 1st all_reduce of ranks 0, 1 does not fit: rank 0 gives 4 float32 at x.py:12, rank 1 gives 4 uint8 at x.py:20. "
                "The ranks are at different lines: one of them left out a call before, or made one too many."
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
    ids=[
        "size",
        "dtype",
        "out of step",
        "reduce op",
        "root",
        "operation",
        "splits",
        "message",
        "members",
        "groups' order",
        "order",
    ],
)
def test_a_mismatch_is_one_sentence_with_both_lines(one, other, sentence):
    """The sentence names ranks, lines and both values, and says what to do."""
    assert log(one(Recorded()), other(Recorded())).mismatches() == (sentence,)


def test_ranks_that_agree_are_named_together():
    """In a large group the rank that differs is named separately from those that agree."""
    ranks = [Recorded(4).call("all_reduce", 5 if rank == 2 else 4) for rank in range(4)]

    (sentence,) = log(*ranks).mismatches()

    assert "ranks 0, 1, 3 give 4 float32 at x.py:1, rank 2 gives 5 float32 at x.py:1" in sentence


SILENT_IN_GLOO = {
    "dtype": (
        "dist.all_reduce(torch.ones(4, dtype=torch.float32 if rank == 0 else torch.int32))",
        "4 float32 at work.py:6, rank 1 gives 4 int32",
    ),
    "reduce op": (
        "dist.all_reduce(torch.ones(4), op=dist.ReduceOp.SUM if rank == 0 else dist.ReduceOp.MAX)",
        "rank 1 reduces by MAX",
    ),
    "size": (
        "dist.all_reduce(torch.ones(4 + rank))",
        "rank 1 gives 5 float32 at work.py:6",
    ),
    "too much room": (
        "dist.send(x, 1) if rank == 0 else dist.recv(torch.empty(6), 0)",
        "rank 1 receives into 6 float32 at work.py:6",
    ),
    "too little room": (
        "dist.send(x, 1) if rank == 0 else dist.recv(torch.empty(3), 0)",
        "rank 1 receives into 3 float32 at work.py:6",
    ),
    "order": (
        "for i in (rank, 1 - rank): (a if i else b)(x)",
        "different orders: the 1st is all_reduce at work.py:8 on rank 0",
    ),
}


@pytest.mark.parametrize(("line", "expected"), SILENT_IN_GLOO.values(), ids=SILENT_IN_GLOO.keys())
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
