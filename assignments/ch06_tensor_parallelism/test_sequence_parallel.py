"""Public tests of exercise `sequence_parallel`."""

import pytest

from assignments.ch06_tensor_parallelism import programs_sequence_parallel as programs
from assignments.ch06_tensor_parallelism.references_sequence_parallel import (
    assert_block,
    assert_block_traffic,
    assert_operator_traffic,
    assert_operators,
    case,
    factors_for,
    random,
    steps_for,
    weights,
)
from grader.harness import PerRank, assert_matches, assert_raised, exercise

OPERATORS = ("gather_from_sp", "reduce_scatter_to_sp")


def launch_cases(launch, cases_of_ops, **shared):
    """Launch one case of each operator after the other; return the run and the cases of each rank."""
    per_rank = [list(cases) for cases in zip(*cases_of_ops, strict=True)]
    return launch(programs.operators, len(per_rank), per_rank={"cases": per_rank}, shared=shared), per_rank


def launch_block(launch, size, tokens, passes, **shared):
    """Launch a block on ranks with so many tokens each; return the run and what `assert_block` takes besides."""
    parts, common = weights(size)
    factors, steps = factors_for(size, tokens), steps_for(size, tokens, passes=passes)
    per_rank = {"parts": parts, "factors": factors, "steps": steps}
    run = launch(programs.block, size, per_rank=per_rank, shared={"shared": common, **shared})
    return run, parts, common, factors, steps


@exercise("sequence_parallel", aspect="equivalence")
@pytest.mark.parametrize("size", [2, 3])
def test_gather(launch, size):
    """gather_from_sp returns the tokens of all ranks; the gradient of x is its part of the sum of the gradients."""
    assert_operators(*launch_cases(launch, [case("gather_from_sp", size), case("gather_from_sp", size, (2, 3), 0)]))


@exercise("sequence_parallel", aspect="equivalence")
@pytest.mark.parametrize("size", [2, 3])
def test_reduce_scatter(launch, size):
    """reduce_scatter_to_sp returns this rank's tokens of the sum; its gradient is made of the gradients of all parts."""
    cases = [case("reduce_scatter_to_sp", size), case("reduce_scatter_to_sp", size, (6, 2), 0)]
    assert_operators(*launch_cases(launch, cases))


@exercise("sequence_parallel", aspect="equivalence")
@pytest.mark.parametrize("size", [2, 3])
def test_a_block_like_one_process(launch, size):
    """A block has the outputs and, after finish_grad_sync(), all gradients of one process with the whole sequence."""
    assert_block(*launch_block(launch, size, 2, (1,)))


@exercise("sequence_parallel", aspect="equivalence")
def test_several_passes_a_step(launch):
    """finish_grad_sync() after two passes sums both passes once, and the next step begins anew."""
    assert_block(*launch_block(launch, 2, 3, (2, 1)))


@exercise("sequence_parallel", aspect="property")
def test_one_collective_each_way(launch):
    """Each operator calls one all-gather and one reduce-scatter, of the size of the whole and no larger."""
    run, cases = launch_cases(launch, [case(op, 3) for op in OPERATORS])
    assert_operators(run, cases)
    assert_operator_traffic(run.comm, cases)


@exercise("sequence_parallel", aspect="property")
def test_a_block_sends_what_two_all_reduces_send(launch):
    """A pass is two all-gathers and two reduce-scatters each way, the bytes of two all-reduces; then 6 d numbers are summed."""
    run, *given = launch_block(launch, 3, 2, (1,))
    assert_block(run, *given)
    assert_block_traffic(run.comm, 2 * 6 * 4, 4)


@exercise("sequence_parallel", aspect="robustness")
def test_two_groups_side_by_side(launch):
    """Ranks 2 and 0 hold one block, ranks 1 and 3 another."""
    groups, of, place = [[2, 0], [1, 3]], [0, 1, 0, 1], [1, 0, 0, 1]
    given = [(*weights(2), factors_for(2, 2), steps_for(2, 2)) for _ in groups]
    per_rank = {
        "parts": [given[of[rank]][0][place[rank]] for rank in range(4)],
        "shared": [given[of[rank]][1] for rank in range(4)],
        "factors": [given[of[rank]][2][place[rank]] for rank in range(4)],
        "steps": [given[of[rank]][3][place[rank]] for rank in range(4)],
    }
    run = launch(programs.block, 4, per_rank=per_rank, shared={"groups": groups})
    for number, members in enumerate(groups):
        assert_block(run, *given[number], members=members)


@exercise("sequence_parallel", aspect="robustness")
def test_lengths_that_do_not_divide_are_refused(launch):
    """reduce_scatter_to_sp cuts 6 tokens in three parts, and raises ValueError for 7."""
    fits = [random(1, 6, 2) for _ in range(3)]
    xs = [[random(1, 7, 2), one] for one in fits]
    run = launch(programs.cuts, 3, per_rank={"xs": xs})
    assert_raised([errors[0] for errors in run["errors"]], "reduce_scatter_to_sp(x of shape (1, 7, 2)) on 3 ranks")
    assert_matches(
        PerRank(values[1] for values in run["values"]), PerRank(sum(fits).chunk(3, 1)), what="part of the sum"
    )
