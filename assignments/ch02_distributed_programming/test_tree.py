"""Public tests of exercise `tree_collectives`."""

import pytest
import torch

from assignments.ch02_distributed_programming import programs
from assignments.ch02_distributed_programming.references import assert_refused
from assignments.ch02_distributed_programming.references_tree import (
    assert_chunks,
    assert_chunks_left_alone,
    assert_exactly,
    assert_gathered,
    assert_no_more_than,
    assert_scattered,
    assert_sends,
    assert_tree_traffic,
    one_per_rank,
    only_on,
)
from grader.harness import PerRank, assert_arguments_kept, assert_matches, exercise

sizes_and_roots = pytest.mark.parametrize(("world_size", "root"), [(1, 0), (3, 1), (4, 2)])
worlds_and_sizes = pytest.mark.parametrize(("world_size", "numel"), [(5, 37), (4, 13_001)])


@exercise("tree_collectives", aspect="equivalence")
@sizes_and_roots
def test_broadcast_gives_everybody_the_roots_tensor(launch, world_size, root):
    """Every rank ends with the tensor of src, which need not be rank 0."""
    xs = one_per_rank(world_size, 37)
    run = launch(programs.tree_broadcast, world_size, per_rank={"x": xs}, shared={"src": root})
    run.comm.assert_only("send", "recv")
    assert_matches(run["y"], xs[root])


@exercise("tree_collectives", aspect="equivalence")
@sizes_and_roots
def test_reduce_gives_the_root_the_sum(launch, world_size, root):
    """Rank dst ends with the sum over all ranks, every other rank with None."""
    xs = one_per_rank(world_size, 37)
    run = launch(programs.tree_reduce, world_size, per_rank={"x": xs}, shared={"dst": root})
    run.comm.assert_only("send", "recv")
    assert_matches(run["y"], only_on(root, world_size, sum(xs)))


@exercise("tree_collectives", aspect="equivalence")
def test_reduce_gives_the_root_the_maximum(launch):
    """With op="max", dst ends with the elementwise maximum."""
    xs = one_per_rank(3, 4, 5)
    run = launch(programs.tree_reduce, 3, per_rank={"x": xs}, shared={"dst": 1, "op": "max"})
    run.comm.assert_only("send", "recv")
    assert_matches(run["y"], only_on(1, 3, torch.stack(xs).amax(0)))


@exercise("tree_collectives", aspect="equivalence")
@sizes_and_roots
def test_scatter_gives_every_rank_its_chunk(launch, world_size, root):
    """Rank i ends with chunk i of src."""
    chunks = one_per_rank(world_size, 37)
    given = [chunks if rank == root else None for rank in range(world_size)]
    like = [torch.zeros(37, dtype=torch.float64)] * world_size
    run = launch(programs.p2p_scatter, world_size, per_rank={"chunks": given, "like": like}, shared={"src": root})
    run.comm.assert_only("send", "recv")
    assert_chunks(run, chunks, root)


@exercise("tree_collectives", aspect="equivalence")
@sizes_and_roots
def test_gather_gives_the_root_everybodys_tensor(launch, world_size, root):
    """Rank dst ends with the list of all tensors in rank order, every other rank with None."""
    xs = one_per_rank(world_size, 37)
    run = launch(programs.p2p_gather, world_size, per_rank={"x": xs}, shared={"dst": root})
    run.comm.assert_only("send", "recv")
    assert_matches(run["y"], only_on(root, world_size, xs))


@exercise("tree_collectives", aspect="property")
@worlds_and_sizes
def test_broadcast_is_a_tree(launch, world_size, numel):
    """Ranks that have the tensor help to spread it: five ranks need three rounds, and none receives it twice."""
    xs = one_per_rank(world_size, numel)
    run = launch(programs.tree_broadcast, world_size, per_rank={"x": xs}, shared={"src": 1})
    assert_matches(run["y"], xs[1])
    assert_tree_traffic(run.comm, world_size, numel)
    assert_exactly(run.comm.messages_received_per_rank(), [int(rank != 1) for rank in range(world_size)], "received")
    assert_no_more_than(run.comm.messages_sent_per_rank(), (world_size - 1).bit_length(), "sent")


@exercise("tree_collectives", aspect="property")
@worlds_and_sizes
def test_reduce_is_a_tree(launch, world_size, numel):
    """Partial sums meet on the way: five ranks need three rounds, and every rank but dst sends once."""
    xs = one_per_rank(world_size, numel)
    run = launch(programs.tree_reduce, world_size, per_rank={"x": xs}, shared={"dst": 1})
    assert_matches(run["y"], only_on(1, world_size, sum(xs)))
    assert_tree_traffic(run.comm, world_size, numel)
    assert_exactly(run.comm.messages_sent_per_rank(), [int(rank != 1) for rank in range(world_size)], "sent")
    assert_no_more_than(run.comm.messages_received_per_rank(), (world_size - 1).bit_length(), "received")


@exercise("tree_collectives", aspect="property")
@pytest.mark.parametrize("numel", [37, 13_001])
def test_scatter_ships_no_foreign_chunk(launch, numel):
    """The root sends every other rank one message that holds that rank's chunk and nothing else."""
    chunks = one_per_rank(4, numel)
    given = {"chunks": [None, None, chunks, None], "like": [torch.zeros(numel, dtype=torch.float64)] * 4}
    run = launch(programs.p2p_scatter, 4, per_rank=given, shared={"src": 2})
    assert_chunks(run, chunks, 2)
    run.comm.assert_only("send", "recv")
    run.comm.assert_waited_for()
    assert_scattered(run.comm, 2, dict.fromkeys((0, 1, 3), numel))


@exercise("tree_collectives", aspect="property")
@pytest.mark.parametrize("numel", [37, 13_001])
def test_gather_sends_every_tensor_once(launch, numel):
    """Every rank but the root sends its tensor, once, to the root."""
    xs = one_per_rank(4, numel)
    run = launch(programs.p2p_gather, 4, per_rank={"x": xs}, shared={"dst": 2})
    assert_matches(run["y"], only_on(2, 4, xs))
    run.comm.assert_only("send", "recv")
    run.comm.assert_waited_for()
    assert_exactly(run.comm.messages_sent_per_rank(), [1, 1, 0, 1], "sent")
    assert_gathered(run.comm, 2, numel)


@exercise("tree_collectives", aspect="robustness")
def test_broadcast_and_reduce_in_a_sub_group(launch):
    """Ranks src and dst are global: in the group of ranks 1 and 3, rank 1 of the job is the root."""
    xs = one_per_rank(4, 7)
    run = launch(programs.tree_broadcast, 4, per_rank={"x": xs}, shared={"src": 1, "members": [1, 3]})
    assert_matches(run["y"], PerRank([None, xs[1], None, xs[1]]))
    run = launch(programs.tree_reduce, 4, per_rank={"x": xs}, shared={"dst": 1, "members": [1, 3]})
    assert_matches(run["y"], only_on(1, 4, xs[1] + xs[3]))


@exercise("tree_collectives", aspect="robustness")
def test_scatter_and_gather_in_a_sub_group(launch):
    """Chunks are in the order of the group's ranks; src and dst are global ranks."""
    xs = one_per_rank(4, 7)
    given = {"chunks": [None, [xs[1], xs[3]], None, None], "like": [torch.zeros(7, dtype=torch.float64)] * 4}
    run = launch(programs.p2p_scatter, 4, per_rank=given, shared={"src": 1, "members": [1, 3]})
    assert_chunks(run, [None, xs[1], None, xs[3]], 1)
    run = launch(programs.p2p_gather, 4, per_rank={"x": xs}, shared={"dst": 1, "members": [1, 3]})
    assert_matches(run["y"], only_on(1, 4, [xs[1], xs[3]]))


@exercise("tree_collectives", aspect="property")
@pytest.mark.parametrize(
    ("program", "root"), [(programs.tree_broadcast, "src"), (programs.tree_reduce, "dst"), (programs.p2p_gather, "dst")]
)
def test_messages_have_the_dtype_of_x(launch, program, root):
    """Of float32 and bfloat16 numbers each takes four and two bytes on the wire: nothing is widened to be sent."""
    for dtype, numel in ((torch.float32, 9), (torch.bfloat16, 26_001)):
        xs = [torch.arange(numel).add(rank).remainder(50).to(dtype) for rank in range(3)]  # sums are exact
        run = launch(program, 3, per_rank={"x": xs}, shared={root: 1})
        results = {
            programs.tree_broadcast: xs[1],
            programs.tree_reduce: only_on(1, 3, sum(xs)),
            programs.p2p_gather: only_on(1, 3, xs),
        }
        assert_matches(run["y"], results[program], rtol=0.0)
        assert_sends(run.comm, [numel] * 2, dtype)


@exercise("tree_collectives", aspect="robustness")
@pytest.mark.parametrize(
    ("world_size", "layout"), [(1, None), (1, "transposed"), (2, None), (2, "scaled"), (3, "transposed")]
)
@pytest.mark.parametrize(
    ("program", "root"), [(programs.tree_broadcast, "src"), (programs.tree_reduce, "dst"), (programs.p2p_gather, "dst")]
)
def test_the_callers_tensor_is_left_alone(launch, program, root, world_size, layout):
    """The input may have strides or be transposed, keeps its values, and shares no memory with the result."""
    xs = one_per_rank(world_size, 4, 5)
    run = launch(program, world_size, per_rank={"x": xs}, shared={root: 0, "layout": layout})
    assert_arguments_kept(run, "x")
    results = {
        programs.tree_broadcast: xs[0],
        programs.tree_reduce: only_on(0, world_size, sum(xs)),
        programs.p2p_gather: only_on(0, world_size, xs),
    }
    assert_matches(run["y"], results[program])
    assert_matches(run["x"], PerRank(xs), what="x after the call")


@exercise("tree_collectives", aspect="robustness")
@pytest.mark.parametrize(("world_size", "layout"), [(1, None), (2, "scaled"), (3, "transposed")])
def test_the_chunks_are_left_alone(launch, world_size, layout):
    """Chunks may have strides and stay as they are, in a list that stays as it is; `like` is not written to."""
    assert_chunks_left_alone(launch, world_size, layout)


@exercise("tree_collectives", aspect="robustness")
def test_an_unknown_operation_is_refused(launch):
    """A reduce raises ValueError for an op it does not know, before it sends anything."""
    arguments = {"function": "tree_reduce", "arguments": [0]}
    run = launch(programs.unknown_op, 2, per_rank={"x": one_per_rank(2, 3)}, shared=arguments)
    assert_refused(run, "tree_reduce(x, 0, op='product')")
