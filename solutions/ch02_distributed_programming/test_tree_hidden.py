"""Hidden tests of exercise `tree_collectives`."""

import pytest
import torch

from assignments.ch02_distributed_programming import programs
from assignments.ch02_distributed_programming.references_tree import (
    assert_chunks,
    assert_chunks_left_alone,
    assert_exactly,
    assert_no_more_than,
    assert_scattered,
    assert_sends,
    assert_tree_traffic,
    one_per_rank,
    only_on,
)
from grader.harness import PerRank, assert_matches, exercise

eight_and_four_ranks = pytest.mark.parametrize(
    ("world_size", "root", "shape"), [(8, 3, (4, 5)), (4, 1, (131, 101))], ids=["eight", "four"]
)


def scatter_arguments(chunks, members, root):
    """Return what the ranks give to p2p_scatter: chunks on the root alone, on each member a tensor like its own."""
    given = [None] * 4
    given[root] = chunks
    like = [torch.zeros(0)] * 4
    for member, chunk in zip(members, chunks, strict=True):
        like[member] = torch.full_like(chunk, 7)
    return {"chunks": given, "like": like}


@exercise("tree_collectives", aspect="equivalence")
def test_broadcast_to_five_ranks(launch):
    """A broadcast reaches every rank, also where the last round is not full."""
    xs = one_per_rank(5, 3, 4)
    run = launch(programs.tree_broadcast, 5, per_rank={"x": xs}, shared={"src": 3})
    run.comm.assert_only("send", "recv")
    assert_matches(run["y"], xs[3])


@exercise("tree_collectives", aspect="equivalence")
@pytest.mark.parametrize("op", ["sum", "max"])
def test_reduce_of_five_ranks(launch, op):
    """A reduce counts every rank once, also where the first round is not full."""
    xs = one_per_rank(5, 3, 4)
    run = launch(programs.tree_reduce, 5, per_rank={"x": xs}, shared={"dst": 4, "op": op})
    run.comm.assert_only("send", "recv")
    assert_matches(run["y"], only_on(4, 5, sum(xs) if op == "sum" else torch.stack(xs).amax(0)))


@exercise("tree_collectives", aspect="equivalence")
def test_scatter_of_unequal_chunks(launch):
    """Chunks may have different shapes, empty ones too."""
    chunks = [torch.randn(shape, dtype=torch.float64) for shape in [(3, 2), (0,), (), (5,)]]
    run = launch(programs.p2p_scatter, 4, per_rank=scatter_arguments(chunks, range(4), root=2), shared={"src": 2})
    run.comm.assert_only("send", "recv")
    assert_chunks(run, chunks, 2)


@exercise("tree_collectives", aspect="equivalence")
def test_gather_to_the_last_rank(launch):
    """A gather lists the tensors in rank order, wherever the root is."""
    xs = one_per_rank(3, 3, 4)
    run = launch(programs.p2p_gather, 3, per_rank={"x": xs}, shared={"dst": 2})
    run.comm.assert_only("send", "recv")
    assert_matches(run["y"], only_on(2, 3, xs))


@exercise("tree_collectives", aspect="property")
@eight_and_four_ranks
def test_the_tree_of_a_broadcast_is_full(launch, world_size, root, shape):
    """Eight ranks have the tensor after three rounds, and no rank sends more than three messages."""
    xs = one_per_rank(world_size, *shape)
    run = launch(programs.tree_broadcast, world_size, per_rank={"x": xs}, shared={"src": root})
    assert_matches(run["y"], xs[root])
    assert_tree_traffic(run.comm, world_size, xs[0].numel())
    assert_no_more_than(run.comm.messages_sent_per_rank(), (world_size - 1).bit_length(), "sent")
    assert_exactly(run.comm.messages_received_per_rank(), [int(rank != root) for rank in range(world_size)], "received")


@exercise("tree_collectives", aspect="property")
@eight_and_four_ranks
def test_the_tree_of_a_reduce_is_full(launch, world_size, root, shape):
    """The sum of eight ranks is complete after three rounds, and no rank receives more than three messages."""
    xs = one_per_rank(world_size, *shape)
    run = launch(programs.tree_reduce, world_size, per_rank={"x": xs}, shared={"dst": root})
    assert_matches(run["y"], only_on(root, world_size, sum(xs)))
    assert_tree_traffic(run.comm, world_size, xs[0].numel())
    assert_exactly(run.comm.messages_sent_per_rank(), [int(rank != root) for rank in range(world_size)], "sent")
    assert_no_more_than(run.comm.messages_received_per_rank(), (world_size - 1).bit_length(), "received")


@exercise("tree_collectives", aspect="property")
@pytest.mark.parametrize("numel", [7, 13_001])
def test_a_tree_in_a_sub_group(launch, numel):
    """In the group 3, 0, 2 a tree has two messages, and rank 1 takes part in none."""
    xs = one_per_rank(4, numel)
    run = launch(programs.tree_broadcast, 4, per_rank={"x": xs}, shared={"src": 0, "members": [3, 0, 2]})
    assert_matches(run["y"], PerRank([xs[0], None, xs[0], xs[0]]))
    comm = run.comm
    comm.assert_waited_for()
    assert comm.count() == comm.within([0, 2, 3]).count(), "Messages were sent outside the group that was passed."
    assert_exactly(comm.messages_received_per_rank(), [0, 0, 1, 1], "received")
    assert_sends(comm, [numel] * 2)


@exercise("tree_collectives", aspect="property")
@pytest.mark.parametrize("sizes", [(3, 8, 5, 2), (13_003, 13_008, 1, 26_001)])
def test_unequal_chunks_are_sent_as_they_are(launch, sizes):
    """Every message of a scatter is exactly as large as the chunk of the rank that gets it."""
    chunks = [torch.randn(numel, dtype=torch.float64) for numel in sizes]
    run = launch(programs.p2p_scatter, 4, per_rank=scatter_arguments(chunks, range(4), root=0), shared={"src": 0})
    assert_chunks(run, chunks, 0)
    assert_scattered(run.comm, 0, {peer: sizes[peer] for peer in (1, 2, 3)})


@exercise("tree_collectives", aspect="robustness")
@pytest.mark.parametrize(
    ("program", "root"), [(programs.tree_broadcast, "src"), (programs.tree_reduce, "dst"), (programs.p2p_gather, "dst")]
)
def test_a_group_in_an_order_of_its_own(launch, program, root):
    """Lists follow the group's order 3, 0, 2, while src and dst stay global ranks."""
    members, xs = [3, 0, 2], one_per_rank(4, 7)
    run = launch(program, 4, per_rank={"x": xs}, shared={"members": members, root: 2})
    results = {
        programs.tree_broadcast: PerRank(xs[2] if rank in members else None for rank in range(4)),
        programs.tree_reduce: only_on(2, 4, xs[0] + xs[2] + xs[3]),
        programs.p2p_gather: only_on(2, 4, [xs[3], xs[0], xs[2]]),
    }
    assert_matches(run["y"], results[program])


@exercise("tree_collectives", aspect="robustness")
def test_chunks_follow_the_order_of_the_group(launch):
    """In the group 3, 0, 2 the first chunk goes to rank 3, and src is a global rank."""
    members, xs = [3, 0, 2], one_per_rank(4, 7)
    given = scatter_arguments([xs[member] for member in members], members, root=2)
    run = launch(programs.p2p_scatter, 4, per_rank=given, shared={"members": members, "src": 2})
    assert_chunks(run, [xs[rank] if rank in members else None for rank in range(4)], 2)


@exercise("tree_collectives", aspect="robustness")
@pytest.mark.parametrize(
    ("program", "root"), [(programs.tree_broadcast, "src"), (programs.tree_reduce, "dst"), (programs.p2p_gather, "dst")]
)
@pytest.mark.parametrize("layout", ["scaled", "transposed"])
def test_any_shape_dtype_and_stride(launch, layout, program, root):
    """Tensors with strides, single numbers, empty tensors and integers are treated like any other tensor."""
    kinds = [
        ((4, 5), torch.float64),
        ((), torch.float64),
        ((3, 0), torch.float64),
        ((6,), torch.int64),
        ((5,), torch.int16),
    ]
    cases = [one_per_rank(3, *shape, dtype=dtype) for shape, dtype in kinds]
    arguments = [[{"x": x, root: 1, "layout": layout} for x in xs] for xs in zip(*cases, strict=True)]
    run = launch(programs.in_sequence, 3, per_rank={"cases": arguments}, shared={"program": program.__name__})
    results = {
        programs.tree_broadcast: PerRank([[xs[1] for xs in cases]] * 3),
        programs.tree_reduce: PerRank([[sum(xs) if rank == 1 else None for xs in cases] for rank in range(3)]),
        programs.p2p_gather: PerRank([[xs if rank == 1 else None for xs in cases] for rank in range(3)]),
    }
    assert_matches(run["ys"], results[program])


@exercise("tree_collectives", aspect="robustness")
@pytest.mark.parametrize(("world_size", "layout"), [(1, "transposed"), (2, None), (2, "transposed"), (3, "scaled")])
def test_the_chunks_are_left_alone(launch, world_size, layout):
    """Chunks may have strides, keep their values, and share no memory with the result; `like` is not written to."""
    assert_chunks_left_alone(launch, world_size, layout)


@exercise("tree_collectives", aspect="robustness")
def test_single_precision(launch):
    """A float32 sum stays in float32 and is as close as a sum in float32 can be."""
    exact = one_per_rank(4, 37)
    xs = [x.float() for x in exact]
    run = launch(programs.tree_reduce, 4, per_rank={"x": xs}, shared={"dst": 0})
    assert_matches(run["y"], only_on(0, 4, sum(xs)), exact=only_on(0, 4, sum(x.double() for x in xs)))
