"""Hidden tests of exercise `ring_all_reduce`."""

import pytest
import torch

from assignments.ch02_distributed_programming import programs
from assignments.ch02_distributed_programming.references import assert_bytes, assert_silent
from assignments.ch02_distributed_programming.references_ring import assert_ring_traffic, chunks_of, one_per_rank
from grader.harness import PerRank, assert_matches, exercise


def reduced(xs, op):
    """Return the reduction of all ranks' tensors in one process."""
    return {"sum": sum(xs), "avg": sum(xs) / len(xs), "max": torch.stack(xs).amax(0)}[op]


def in_sequence(launch, program, cases, **shared):
    """Run a program in one launch of sends and receives, once per case of one x for each rank; return all results."""
    arguments = [[{"x": x, **shared} for x in xs] for xs in zip(*cases, strict=True)]
    run = launch(
        programs.in_sequence, len(arguments), per_rank={"cases": arguments}, shared={"program": program.__name__}
    )
    run.comm.assert_only("send", "recv")
    return run["ys"]


def sums_along_the_ring(xs):
    """Return every chunk of the sum, each added up from its owner's next rank round to its owner."""
    num_ranks = len(xs)
    chunks = [chunks_of(x, num_ranks) for x in xs]
    totals = []
    for owner in range(num_ranks):
        total = chunks[(owner + 1) % num_ranks][owner]
        for step in range(2, num_ranks + 1):
            total = total + chunks[(owner + step) % num_ranks][owner]
        totals.append(total)
    return totals


@exercise("ring_all_reduce", aspect="equivalence")
@pytest.mark.parametrize(("world_size", "numel"), [(4, 9), (5, 24)])
def test_reduce_scatter_of_any_length(launch, world_size, numel):
    """Rank r ends with chunk r; with 9 elements on 4 ranks, the last rank has nothing."""
    xs = one_per_rank(world_size, numel)
    run = launch(programs.ring_reduce_scatter, world_size, per_rank={"x": xs})
    run.comm.assert_only("send", "recv")
    assert_matches(run["y"], chunks_of(sum(xs), world_size))


@exercise("ring_all_reduce", aspect="equivalence")
def test_all_gather_of_any_length(launch):
    """Every rank ends with all tensors in rank order, whatever their length."""
    cases = [one_per_rank(4, numel) for numel in (6, 1, 0)]
    assert_matches(in_sequence(launch, programs.ring_all_gather, cases), [torch.cat(xs) for xs in cases])


@exercise("ring_all_reduce", aspect="equivalence")
@pytest.mark.parametrize(
    ("world_size", "shape", "op"),
    [
        (2, (2, 3, 5), "avg"),
        (4, (6, 7), "max"),
        (8, (41,), "avg"),
    ],
)
def test_all_reduce_of_any_shape(launch, world_size, shape, op):
    """Every rank ends with the reduction over all ranks, in the shape of x."""
    xs = one_per_rank(world_size, *shape)
    run = launch(programs.ring_all_reduce, world_size, per_rank={"x": xs}, shared={"op": op})
    run.comm.assert_only("send", "recv")
    assert_matches(run["y"], reduced(xs, op))


@exercise("ring_all_reduce", aspect="equivalence")
def test_the_maximum_of_negative_numbers(launch):
    """Zeros that fill up a chunk never win against negative numbers."""
    xs = [-x.abs() - 1 for x in one_per_rank(3, 7)]
    run = launch(programs.ring_all_reduce, 3, per_rank={"x": xs}, shared={"op": "max"})
    run.comm.assert_only("send", "recv")
    assert_matches(run["y"], reduced(xs, "max"))


@exercise("ring_all_reduce", aspect="property")
@pytest.mark.parametrize(
    ("program", "shape", "num_hops", "numel"),
    [
        (programs.ring_reduce_scatter, (9,), 3, 3),
        (programs.ring_all_gather, (5,), 3, 5),
        (programs.ring_all_reduce, (2, 3, 2), 6, 3),
        (programs.ring_all_gather, (13_001,), 3, 13_001),
        (programs.ring_all_reduce, (131, 101), 6, 3308),
    ],
)
def test_traffic_of_four_ranks(launch, program, shape, num_hops, numel):
    """Every rank sends N - 1 or 2 (N - 1) padded chunks to the next rank and nothing else."""
    xs = one_per_rank(4, *shape)
    run = launch(program, 4, per_rank={"x": xs})
    expected = {
        programs.ring_reduce_scatter: chunks_of(sum(xs), 4),
        programs.ring_all_gather: torch.cat(xs),
        programs.ring_all_reduce: sum(xs),
    }
    assert_matches(run["y"], expected[program])
    assert_ring_traffic(run.comm, 4, num_hops, numel)


@exercise("ring_all_reduce", aspect="property")
def test_traffic_of_eight_ranks(launch):
    """Of eight ranks each sends 14 messages in an all-reduce, and none sends twice the tensor."""
    xs = one_per_rank(8, 40)
    run = launch(programs.ring_all_reduce, 8, per_rank={"x": xs})
    assert_matches(run["y"], sum(xs))
    assert_ring_traffic(run.comm, 8, num_hops=14, numel=5)
    assert_bytes(run.comm, (560,) * 8)  # of 320 bytes


@exercise("ring_all_reduce", aspect="property")
@pytest.mark.parametrize(("numel", "chunk"), [(10, 4), (13_001, 4334)])
def test_a_ring_in_a_sub_group(launch, numel, chunk):
    """In the group 3, 0, 2 the next of 3 is 0, of 0 is 2, of 2 is 3, and rank 1 takes part in nothing."""
    shared = {"members": [3, 0, 2]}
    xs = one_per_rank(4, numel)
    run = launch(programs.ring_all_reduce, 4, per_rank={"x": xs}, shared=shared)
    total = xs[0] + xs[2] + xs[3]
    assert_matches(run["y"], PerRank([total, None, total, total]))
    comm = run.comm
    comm.assert_waited_for()
    assert comm.count() == comm.within([0, 2, 3]).count(), "Messages were sent outside the group that was passed."
    assert_bytes(comm, (4 * chunk * 8, 0, 4 * chunk * 8, 4 * chunk * 8))
    following = {3: 0, 0: 2, 2: 3}
    for op in comm.ops("send"):
        due = following[op.rank]
        assert op.peer == due, (
            f"Rank {op.rank} sent to rank {op.peer}. In the group 3, 0, 2 the next rank is rank {due}."
        )


@exercise("ring_all_reduce", aspect="property")
@pytest.mark.parametrize(("world_size", "numel"), [(1, 37), (3, 0)])
def test_nothing_is_sent_where_nothing_is_due(launch, world_size, numel):
    """One rank alone sends nothing, and an empty tensor costs no byte."""
    xs = one_per_rank(world_size, numel)
    run = launch(programs.ring_all_reduce, world_size, per_rank={"x": xs})
    assert_matches(run["y"], sum(xs))
    assert_bytes(run.comm, (0,) * world_size)
    if world_size == 1:
        assert_silent(run.comm, "where there is one rank")


@exercise("ring_all_reduce", aspect="property")
@pytest.mark.parametrize(("world_size", "numel"), [(5, 21), (4, 13_001)])
def test_every_bit_follows_from_the_order_of_addition(launch, world_size, numel):
    """The sum has the bits of the ring's order of addition, on every rank."""
    xs = one_per_rank(world_size, numel)
    run = launch(programs.ring_all_reduce, world_size, per_rank={"x": xs})
    assert_matches(run["y"], torch.cat(sums_along_the_ring(xs)), rtol=0.0, atol=0.0)


@exercise("ring_all_reduce", aspect="robustness")
def test_tiny_and_empty_tensors_keep_their_shape(launch):
    """A single number and an empty tensor are reduced like any other."""
    cases = [one_per_rank(3, *shape) for shape in [(), (0,), (2, 0, 3), (1,), (2,)]]
    averages = [sum(xs) / 3 for xs in cases]
    assert_matches(in_sequence(launch, programs.ring_all_reduce, cases, op="avg"), averages)


@exercise("ring_all_reduce", aspect="robustness")
def test_chunks_follow_the_order_of_the_group(launch):
    """In the group 3, 0, 2 the first chunk belongs to rank 3."""
    members, xs = [3, 0, 2], one_per_rank(4, 10)
    run = launch(programs.ring_reduce_scatter, 4, per_rank={"x": xs}, shared={"members": members})
    first, second, third = chunks_of(xs[3] + xs[0] + xs[2], 3)
    assert_matches(run["y"], PerRank([second, None, third, first]))


@exercise("ring_all_reduce", aspect="robustness")
def test_an_all_gather_follows_the_order_of_the_group(launch):
    """In the group 3, 0, 2 the result starts with the tensor of rank 3."""
    xs = one_per_rank(4, 10)
    run = launch(programs.ring_all_gather, 4, per_rank={"x": xs}, shared={"members": [3, 0, 2]})
    everything = torch.cat([xs[3], xs[0], xs[2]])
    assert_matches(run["y"], PerRank([everything, None, everything, everything]))


@exercise("ring_all_reduce", aspect="robustness")
@pytest.mark.parametrize("layout", ["scaled", "transposed"])
def test_inputs_with_strides(launch, layout):
    """The values of a tensor with strides are taken in row-major order, in one dimension and in two."""
    line, square = one_per_rank(3, 13), one_per_rank(3, 4, 5)
    chunks = in_sequence(launch, programs.ring_reduce_scatter, [line], layout=layout)
    assert_matches(chunks, PerRank([chunk] for chunk in chunks_of(sum(line), 3)))
    assert_matches(in_sequence(launch, programs.ring_all_gather, [line], layout=layout), [torch.cat(line)])
    sums = in_sequence(launch, programs.ring_all_reduce, [line, square], layout=layout)
    assert_matches(sums, [sum(line), sum(square)])


@exercise("ring_all_reduce", aspect="robustness")
def test_single_precision(launch):
    """A float32 average stays in float32 and is as close as a sum in float32 can be."""
    xs = [x.float() for x in one_per_rank(4, 37)]
    run = launch(programs.ring_all_reduce, 4, per_rank={"x": xs}, shared={"op": "avg"})
    assert_matches(run["y"], sum(xs) / 4, exact=sum(x.double() for x in xs) / 4)
