"""Public tests of exercise `ring_all_reduce`."""

import pytest
import torch

from assignments.ch02_distributed_programming import programs
from assignments.ch02_distributed_programming.references import assert_bytes, assert_refused
from assignments.ch02_distributed_programming.references_ring import assert_ring_traffic, chunks_of, one_per_rank
from grader.harness import PerRank, assert_arguments_kept, assert_matches, exercise

world_sizes = pytest.mark.parametrize("world_size", [1, 2, 3, 4])


@exercise("ring_all_reduce", aspect="equivalence")
@world_sizes
def test_reduce_scatter_leaves_chunk_r_on_rank_r(launch, world_size):
    """Rank r ends with chunk r of the sum, the last rank with what is left: 37 elements do not divide evenly."""
    xs = one_per_rank(world_size, 37)
    run = launch(programs.ring_reduce_scatter, world_size, per_rank={"x": xs})
    run.comm.assert_only("send", "recv")
    assert_matches(run["y"], chunks_of(sum(xs), world_size))


@exercise("ring_all_reduce", aspect="equivalence")
@pytest.mark.parametrize("world_size", [1, 3])
def test_all_gather_puts_the_ranks_in_order(launch, world_size):
    """Every rank ends with the tensors of rank 0, 1, 2, ... one after another."""
    xs = one_per_rank(world_size, 5)
    run = launch(programs.ring_all_gather, world_size, per_rank={"x": xs})
    run.comm.assert_only("send", "recv")
    assert_matches(run["y"], torch.cat(xs))


@exercise("ring_all_reduce", aspect="equivalence")
@world_sizes
def test_all_reduce_gives_everybody_the_sum(launch, world_size):
    """Every rank ends with the sum over all ranks, in the shape of x."""
    xs = one_per_rank(world_size, 5, 7)
    run = launch(programs.ring_all_reduce, world_size, per_rank={"x": xs})
    run.comm.assert_only("send", "recv")
    assert_matches(run["y"], sum(xs))


@exercise("ring_all_reduce", aspect="equivalence")
def test_all_reduce_gives_everybody_the_average(launch):
    """With op="avg", every rank ends with the sum divided by the number of ranks."""
    xs = one_per_rank(3, 37)
    run = launch(programs.ring_all_reduce, 3, per_rank={"x": xs}, shared={"op": "avg"})
    run.comm.assert_only("send", "recv")
    assert_matches(run["y"], sum(xs) / 3)


@exercise("ring_all_reduce", aspect="equivalence")
def test_reduce_scatter_of_the_maximum(launch):
    """With op="max", rank r ends with chunk r of the elementwise maximum."""
    xs = one_per_rank(3, 37)
    run = launch(programs.ring_reduce_scatter, 3, per_rank={"x": xs}, shared={"op": "max"})
    run.comm.assert_only("send", "recv")
    assert_matches(run["y"], chunks_of(torch.stack(xs).amax(0), 3))


@exercise("ring_all_reduce", aspect="property")
@pytest.mark.parametrize(
    ("program", "loops"),
    [(programs.ring_reduce_scatter, 1), (programs.ring_all_gather, 1), (programs.ring_all_reduce, 2)],
)
@pytest.mark.parametrize(("world_size", "numel"), [(3, 37), (4, 13_001)])
def test_every_rank_sends_its_share_to_the_next(launch, program, loops, world_size, numel):
    """Each rank sends N - 1 messages in a reduce-scatter or an all-gather, twice as many in an all-reduce.

    37 elements on three ranks are chunks of 13, 13 and 11, and the last one is padded.
    """
    xs = one_per_rank(world_size, numel)
    run = launch(program, world_size, per_rank={"x": xs})
    expected = {
        programs.ring_reduce_scatter: chunks_of(sum(xs), world_size),
        programs.ring_all_gather: torch.cat(xs),
        programs.ring_all_reduce: sum(xs),
    }
    assert_matches(run["y"], expected[program])
    size = numel if program is programs.ring_all_gather else -(-numel // world_size)
    assert_ring_traffic(run.comm, world_size, loops * (world_size - 1), size)


@exercise("ring_all_reduce", aspect="property")
@pytest.mark.parametrize(("world_size", "chunk"), [(2, 5), (4, 5), (4, 13_001)])
def test_an_all_reduce_sends_less_than_twice_the_tensor(launch, world_size, chunk):
    """Of a tensor of S bytes every rank sends 2 (N - 1) / N * S, however many ranks there are."""
    xs = one_per_rank(world_size, chunk * world_size)
    run = launch(programs.ring_all_reduce, world_size, per_rank={"x": xs})
    assert_matches(run["y"], sum(xs))
    assert_bytes(run.comm, (2 * (world_size - 1) * chunk * 8,) * world_size)


@exercise("ring_all_reduce", aspect="property")
@pytest.mark.parametrize(
    ("program", "loops"),
    [(programs.ring_reduce_scatter, 1), (programs.ring_all_gather, 1), (programs.ring_all_reduce, 2)],
)
def test_chunks_travel_in_their_own_dtype(launch, program, loops):
    """Of float32 and bfloat16 numbers each takes four and two bytes on the wire: nothing is widened to be sent."""
    for dtype, numel in ((torch.float32, 9), (torch.bfloat16, 78_003)):
        xs = [torch.arange(numel).add(rank).remainder(50).to(dtype) for rank in range(3)]  # sums are exact
        run = launch(program, 3, per_rank={"x": xs})
        expected = {
            programs.ring_reduce_scatter: chunks_of(sum(xs), 3),
            programs.ring_all_gather: torch.cat(xs),
            programs.ring_all_reduce: sum(xs),
        }
        assert_matches(run["y"], expected[program], rtol=0.0)
        size = numel if program is programs.ring_all_gather else numel // 3
        assert_ring_traffic(run.comm, 3, loops * 2, size, dtype)


@exercise("ring_all_reduce", aspect="property")
@pytest.mark.parametrize("program", [programs.ring_reduce_scatter, programs.ring_all_reduce])
def test_an_average_divides_at_the_end(launch, program):
    """The sum of the smallest numbers that there are is divided, and not each of them, of which nothing would be left."""
    smallest = 5e-324
    xs = [torch.tensor([3.0 * i + 1 + 3 * rank for i in range(9)], dtype=torch.float64) * smallest for rank in range(3)]
    run = launch(program, 3, per_rank={"x": xs}, shared={"op": "avg"})
    average = torch.tensor([3.0 * i + 4 for i in range(9)], dtype=torch.float64) * smallest
    expected = chunks_of(average, 3) if program is programs.ring_reduce_scatter else average
    what = "the average of numbers so small that it is wrong if each is divided before they are added; it"
    assert_matches(run["y"], expected, rtol=0.0, atol=0.0, what=what)


@exercise("ring_all_reduce", aspect="property")
def test_shares_are_added_along_the_ring(launch):
    """Chunk r is summed from rank r + 1 onwards and its owner adds last, so every bit of the result is known."""
    xs = one_per_rank(3, 9)
    run = launch(programs.ring_reduce_scatter, 3, per_rank={"x": xs})
    a, b, c = ([x[3 * rank : 3 * rank + 3] for rank in range(3)] for x in xs)
    expected = [(b[0] + c[0]) + a[0], (c[1] + a[1]) + b[1], (a[2] + b[2]) + c[2]]
    assert_matches(run["y"], PerRank(expected), rtol=0.0, atol=0.0)


@exercise("ring_all_reduce", aspect="property")
@pytest.mark.parametrize("op", ["sum", "avg"])
@pytest.mark.parametrize(("world_size", "numel"), [(3, 37), (4, 13_001)])
def test_all_ranks_end_with_the_same_bits(launch, op, world_size, numel):
    """Every element is reduced on one rank and then copied, so the ranks do not differ in the last bit."""
    run = launch(
        programs.ring_all_reduce, world_size, per_rank={"x": one_per_rank(world_size, numel)}, shared={"op": op}
    )
    assert_matches(run["y"], run["y"][0], rtol=0.0, atol=0.0, what="the result, compared with rank 0's,")


@exercise("ring_all_reduce", aspect="robustness")
def test_a_sub_group_is_a_ring_of_its_own(launch):
    """In the group of ranks 0, 2 and 3 only their tensors are averaged, and the average divides by three."""
    xs = one_per_rank(4, 10)
    run = launch(programs.ring_all_reduce, 4, per_rank={"x": xs}, shared={"members": [0, 2, 3], "op": "avg"})
    average = (xs[0] + xs[2] + xs[3]) / 3
    assert_matches(run["y"], PerRank([average, None, average, average]))


@exercise("ring_all_reduce", aspect="robustness")
@pytest.mark.parametrize(("world_size", "numel"), [(3, 0), (3, 2), (4, 5)])
def test_a_rank_for_which_no_element_is_left(launch, world_size, numel):
    """It ends the reduce-scatter with an empty tensor: 5 elements are chunks of 2, 2, 1 and 0."""
    xs = one_per_rank(world_size, numel)
    run = launch(programs.ring_reduce_scatter, world_size, per_rank={"x": xs})
    assert_matches(run["y"], chunks_of(sum(xs), world_size))


@exercise("ring_all_reduce", aspect="robustness")
@pytest.mark.parametrize(("world_size", "layout"), [(1, None), (2, None), (2, "scaled")])
@pytest.mark.parametrize("program", [programs.ring_reduce_scatter, programs.ring_all_gather, programs.ring_all_reduce])
def test_the_callers_tensor_is_left_alone(launch, program, world_size, layout):
    """The input may have strides, keeps its values, and shares no memory with the result."""
    xs = one_per_rank(world_size, 12)
    run = launch(program, world_size, per_rank={"x": xs}, shared={"layout": layout})
    assert_arguments_kept(run, "x")
    assert_matches(run["x"], PerRank(xs), what="x after the call")
    expected = {
        programs.ring_reduce_scatter: chunks_of(sum(xs), world_size),
        programs.ring_all_gather: torch.cat(xs),
        programs.ring_all_reduce: sum(xs),
    }
    assert_matches(run["y"], expected[program])


@exercise("ring_all_reduce", aspect="robustness")
@pytest.mark.parametrize("layout", ["scaled", "transposed"])
@pytest.mark.parametrize("world_size", [1, 3])
def test_a_tensor_with_strides_is_read_row_by_row(launch, world_size, layout):
    """A transposed tensor, or one with gaps, is reduced like its contiguous copy, and is left as it was."""
    xs = one_per_rank(world_size, 4, 5)
    run = launch(programs.ring_all_reduce, world_size, per_rank={"x": xs}, shared={"layout": layout})
    assert_arguments_kept(run, "x")
    assert_matches(run["y"], sum(xs))
    assert_matches(run["x"], PerRank(xs), what="x after the call")


@exercise("ring_all_reduce", aspect="robustness")
@pytest.mark.parametrize("function", ["ring_reduce_scatter", "ring_all_reduce"])
def test_an_unknown_operation_is_refused(launch, function):
    """An op that is none of the three raises ValueError before anything is sent."""
    run = launch(programs.unknown_op, 2, per_rank={"x": one_per_rank(2, 3)}, shared={"function": function})
    assert_refused(run, f"{function}(x, op='product')")
