"""Hidden tests of exercise `tp_operators`."""

import pytest
import torch

from assignments.ch06_tensor_parallelism import programs_operators as programs
from assignments.ch06_tensor_parallelism.references_operators import NAMES, assert_right, assert_traffic, case
from grader.harness import PerRank, assert_matches, exercise


def launch_cases(launch, cases_of_ops, **shared):
    """Launch one case of each operator after the other; return the run and the cases of each rank."""
    per_rank = [list(cases) for cases in zip(*cases_of_ops, strict=True)]
    return launch(programs.operators, len(per_rank), per_rank={"cases": per_rank}, shared=shared), per_rank


@exercise("tp_operators", aspect="equivalence")
@pytest.mark.parametrize("op", ["scatter_to_tp", "gather_from_tp"])
def test_any_dim(launch, op):
    """scatter_to_tp and gather_from_tp cut and join along whichever dim is named, counted from either end."""
    cases = [case(op, 2, (4, 2, 6), dim) for dim in (0, 1, -1, -3, 2)]
    assert_right(*launch_cases(launch, cases))


@exercise("tp_operators", aspect="equivalence")
def test_a_block_applied_twice(launch):
    """A residual block between copy_to_tp and reduce_from_tp, applied twice, has all gradients of one process."""
    x, first, second = (torch.randn(shape, dtype=torch.float64) for shape in ((5, 4), (4, 9), (9, 4)))
    dy = torch.randn(5, 4, dtype=torch.float64)
    leaves = [tensor.clone().requires_grad_() for tensor in (x, first, second)]
    y = leaves[0]
    for _ in range(2):
        y = y + torch.tanh(y @ leaves[1]) @ leaves[2]
    y.backward(dy)
    per_rank = {"first": [part.contiguous() for part in first.chunk(3, 1)], "second": list(second.chunk(3, 0))}
    run = launch(programs.two_layers, 3, per_rank=per_rank, shared={"x": x, "dy": dy})
    assert_matches(run["y"], y.detach(), what="y")
    assert_matches(run["x_grad"], leaves[0].grad, what="gradient of x")
    assert_matches(run["first_grad"], PerRank(leaves[1].grad.chunk(3, 1)), what="gradient of the first matrix")
    assert_matches(run["second_grad"], PerRank(leaves[2].grad.chunk(3, 0)), what="gradient of the second matrix")


@exercise("tp_operators", aspect="property")
def test_one_collective_whatever_the_shape(launch):
    """On 4 ranks, with three dims, each operator calls its one collective, of no more elements than needed."""
    run, cases = launch_cases(launch, [case(op, 4, (4, 3, 8), 0) for op in NAMES])
    assert_right(run, cases)
    assert_traffic(run.comm, cases, 4)


@exercise("tp_operators", aspect="property")
def test_groups_do_not_disturb_each_other(launch):
    """In two groups each collective is that of the rank's own group, one in one direction."""
    groups = [[3, 0], [2, 1]]
    pairs = [[case(op, 2), case(op, 2)] for op in NAMES]
    member = {rank: (number, place) for number, members in enumerate(groups) for place, rank in enumerate(members)}
    cases = [[pair[member[rank][0]][member[rank][1]] for rank in range(4)] for pair in pairs]
    run, per_rank = launch_cases(launch, cases, groups=groups)
    assert_right(run, per_rank, groups)
    assert_traffic(run.comm, per_rank, 2)
    for rank in range(4):
        own = next(members for members in groups if rank in members)
        ranks = {op.ranks for op in run.comm.ops(rank=rank) if op.op != "barrier"}
        assert ranks == {tuple(own)}, f"Rank {rank} communicates in the groups {ranks}; its group is {own}."


@exercise("tp_operators", aspect="robustness")
def test_neither_x_nor_the_gradient_need_be_contiguous(launch):
    """Transposed tensors give the results of others."""
    assert_right(*launch_cases(launch, [case(op, 2, (4, 6), transposed=True) for op in NAMES]))


@exercise("tp_operators", aspect="robustness")
def test_a_group_of_one(launch):
    """On a single rank each operator returns x, and its gradient is the one that arrives."""
    assert_right(*launch_cases(launch, [case(op, 1) for op in NAMES]))
