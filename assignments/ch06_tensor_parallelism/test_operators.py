"""Public tests of exercise `tp_operators`."""

import pytest
import torch

from assignments.ch06_tensor_parallelism import programs_operators as programs
from assignments.ch06_tensor_parallelism.references_operators import NAMES, assert_right, assert_traffic, case
from grader.harness import PerRank, assert_matches, assert_raised, exercise

CUTS = [((3, 12), -1), ((6, 5), 0)]  # shapes, and the dim that is cut


def launch_cases(launch, cases_of_ops, **shared):
    """Launch one case of each operator after the other; return the run and the cases of each rank."""
    per_rank = [list(cases) for cases in zip(*cases_of_ops, strict=True)]
    return launch(programs.operators, len(per_rank), per_rank={"cases": per_rank}, shared=shared), per_rank


@exercise("tp_operators", aspect="equivalence")
@pytest.mark.parametrize("world_size", [2, 3])
def test_copy(launch, world_size):
    """copy_to_tp returns the values of x, and its gradient is the sum of the ranks' gradients."""
    assert_right(*launch_cases(launch, [case("copy_to_tp", world_size)]))


@exercise("tp_operators", aspect="equivalence")
@pytest.mark.parametrize("world_size", [2, 3])
def test_reduce(launch, world_size):
    """reduce_from_tp returns the sum over the ranks, and passes the gradient on as it is; x keeps its values."""
    assert_right(*launch_cases(launch, [case("reduce_from_tp", world_size)]))


@exercise("tp_operators", aspect="equivalence")
@pytest.mark.parametrize("world_size", [2, 3])
def test_scatter(launch, world_size):
    """scatter_to_tp returns this rank's part, and its gradient is made of the gradients of all parts."""
    assert_right(*launch_cases(launch, [case("scatter_to_tp", world_size, shape, dim) for shape, dim in CUTS]))


@exercise("tp_operators", aspect="equivalence")
@pytest.mark.parametrize("world_size", [2, 3])
def test_gather(launch, world_size):
    """gather_from_tp returns the parts of all ranks, and the gradient of x is this rank's part of it."""
    assert_right(*launch_cases(launch, [case("gather_from_tp", world_size, shape, dim) for shape, dim in CUTS]))


@exercise("tp_operators", aspect="property")
def test_one_collective_in_one_direction(launch):
    """Copy and scatter communicate in backward only, reduce and gather in forward only, once and no more than needed."""
    run, cases = launch_cases(launch, [case(op, 3) for op in NAMES])
    assert_right(run, cases)
    assert_traffic(run.comm, cases, 3)


@exercise("tp_operators", aspect="robustness")
def test_two_groups_side_by_side(launch):
    """Ranks 0 and 2 are one group, ranks 1 and 3 another."""
    groups = [[0, 2], [1, 3]]
    pairs = [[case(op, 2), case(op, 2)] for op in NAMES]
    cases = [[pair[rank % 2][rank // 2] for rank in range(4)] for pair in pairs]
    run, per_rank = launch_cases(launch, cases, groups=groups)
    assert_right(run, per_rank, groups)


@exercise("tp_operators", aspect="robustness")
def test_sizes_that_do_not_divide_are_refused(launch):
    """scatter_to_tp cuts 6 in three parts, and raises ValueError for 7."""
    fits, does_not = torch.randn(2, 6, dtype=torch.float64), torch.randn(7, 2, dtype=torch.float64)
    run = launch(programs.mixed_parts, 3, shared={"cases": [[does_not, 0], [fits, -1]]})
    assert_raised([errors[0] for errors in run["errors"]], "scatter_to_tp(x of shape (7, 2), None, 0) on 3 ranks")
    assert_matches(PerRank(values[1] for values in run["values"]), PerRank(fits.chunk(3, -1)), what="part of x")
