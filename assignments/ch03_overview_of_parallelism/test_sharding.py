"""Public tests of exercise `shard`."""

import pytest
import torch

from assignments.ch03_overview_of_parallelism import programs_sharding as programs
from assignments.ch03_overview_of_parallelism.references_sharding import (
    assert_cut,
    assert_joined,
    assert_own_memory,
    assert_same,
)
from course_env.rank_programs import call_each
from grader.harness import assert_each_raises, assert_returns, exercise


@exercise("shard", aspect="equivalence")
@pytest.mark.parametrize(
    ("arguments", "sizes", "mistakes"),
    [
        (
            (10, 4),
            [3, 3, 3, 1],
            {
                "those are the balanced sizes, and chunk is the default": [3, 3, 2, 2],
                "the remainder is dropped": [2, 2, 2, 2],
                "pieces have ceil(n / world) entries while there are as many left": [2, 2, 2, 4],
            },
        ),
        (
            (10, 4, "balanced"),
            [3, 3, 2, 2],
            {
                "the longer pieces come first": [2, 2, 3, 3],
                "those are the sizes of chunk": [3, 3, 3, 1],
                "the last rank has all that is left over, and no two ranks may differ by more than one": [2, 2, 2, 4],
            },
        ),
        (
            (5, 4),
            [2, 2, 1, 0],
            {"the rank that gets nothing is left out": [2, 2, 1], "those are the balanced sizes": [2, 1, 1, 1]},
        ),
    ],
)
def test_sizes_are_told(student, arguments, sizes, mistakes):
    """Ten entries on four ranks are 3, 3, 3, 1, or balanced 3, 3, 2, 2; five on four are 2, 2, 1 and none."""
    assert_returns(student.shard_sizes, arguments, sizes, mistakes=mistakes)


@exercise("shard", aspect="equivalence")
@pytest.mark.parametrize("dim", [0, 1])
def test_halves_of_a_matrix(launch, dim):
    """Two ranks share a matrix of 256 rows and columns by rows or by columns."""
    assert_cut(launch, torch.randn(256, 256, dtype=torch.float64), dim, 2, "chunk")


@exercise("shard", aspect="equivalence")
@pytest.mark.parametrize("mode", ["chunk", "balanced"])
@pytest.mark.parametrize(("n", "world"), [(10, 4), (7, 3), (5, 4)])
def test_sizes_that_do_not_divide(launch, n, world, mode):
    """Pieces are those of torch.chunk or torch.tensor_split. Every rank has one, which may be empty."""
    assert_cut(launch, torch.randn(3, n, 2, dtype=torch.float64), 1, world, mode)


@exercise("shard", aspect="property")
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_a_piece_keeps_nothing_else_alive(launch, dim):
    """A piece is contiguous and has memory of its own."""
    x = torch.randn(6, 4, 10, dtype=torch.float64)
    assert_own_memory(assert_cut(launch, x, dim, 2, "chunk"), x, dim, 2, "chunk")


@exercise("shard", aspect="property")
def test_pieces_of_a_transposed_matrix(launch):
    """Pieces of a tensor that lies in memory column by column are contiguous as well."""
    x = torch.randn(6, 4, dtype=torch.float64)
    assert_own_memory(assert_cut(launch, x, 0, 2, "chunk", by_columns=True), x, 0, 2, "chunk")


@exercise("shard", aspect="property")
def test_a_single_piece_is_copied_as_well(launch):
    """The piece of the only rank is a copy of x, and what unshard makes of a single piece is a copy of that."""
    x = torch.randn(4, 3)
    assert_own_memory(assert_cut(launch, x, 0, 1, "chunk"), x, 0, 1, "chunk")
    assert_joined(launch, [x], 1, x)


@exercise("shard", aspect="property")
def test_a_parameter_can_be_freed(launch):
    """Who cuts an nn.Parameter and drops it has only the piece's memory left: no graph leads back to the whole."""
    x = torch.randn(4, 6)
    assert_own_memory(assert_cut(launch, x, 1, 2, "chunk", as_parameter=True), x, 1, 2, "chunk")
    sizes = {"count": 5, "rows": 40}  # malloc gives what is larger than 32 MiB back at once
    run = launch(programs.keep_pieces, 1, shared=sizes, process_group=False)
    assert_same(run["numbers"][0], [float(number) for number in range(5)], what="the first number of each piece")
    least = launch.alone(programs.drop_all, 1, shared=sizes).max_rss_kb[0]
    kept = (run.max_rss_kb[0] - least) >> 10
    assert kept < 70, f"5 pieces of 1 MiB each, of parameters of 40 MiB that were dropped, keep {kept} MiB alive."


@exercise("shard", aspect="robustness")
def test_what_cannot_be_cut_is_refused(launch):
    """A negative size, a world of 0, an unknown mode and a rank outside the world raise ValueError."""
    calls = [
        {"n": -1, "world": 2},
        {"n": 4, "world": 0},
        {"n": 4, "world": 2, "mode": "even"},
        {"n": 0, "world": 1},
    ]
    run = launch(call_each, 1, shared={"function": "shard_sizes", "calls": calls}, process_group=False)
    assert_each_raises(run, "shard_sizes", calls, ["ValueError"] * 3 + [""])
    good = {"x": torch.ones(4), "dim": 0, "rank": 1, "world": 2}
    calls = [good | {"rank": 2}, good | {"rank": -1}, good | {"world": 0}, good | {"mode": "even"}, good]
    run = launch(call_each, 1, shared={"function": "shard", "calls": calls}, process_group=False)
    assert_each_raises(run, "shard", calls, ["ValueError"] * 4 + [""])
