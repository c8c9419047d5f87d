"""Hidden tests of exercise `sequence_parallel`."""

from assignments.ch06_tensor_parallelism import programs_sequence_parallel as programs
from assignments.ch06_tensor_parallelism.references_sequence_parallel import (
    assert_block,
    assert_block_traffic,
    assert_operator_traffic,
    assert_operators,
    case,
    factors_for,
    steps_for,
    weights,
)
from grader.harness import exercise

OPERATORS = ("gather_from_sp", "reduce_scatter_to_sp")


def launch_cases(launch, cases_of_ops, **shared):
    """Launch one case of each operator after the other; return the run and the cases of each rank."""
    per_rank = [list(cases) for cases in zip(*cases_of_ops, strict=True)]
    return launch(programs.operators, len(per_rank), per_rank={"cases": per_rank}, shared=shared), per_rank


def launch_block(launch, size, tokens, passes):
    """Launch a block on ranks with so many tokens each; return the run and what `assert_block` takes besides."""
    parts, common = weights(size)
    factors, steps = factors_for(size, tokens), steps_for(size, tokens, passes=passes)
    per_rank = {"parts": parts, "factors": factors, "steps": steps}
    run = launch(programs.block, size, per_rank=per_rank, shared={"shared": common})
    return run, parts, common, factors, steps


@exercise("sequence_parallel", aspect="equivalence")
def test_other_dims(launch):
    """The dim may be any, counted from either end, and is 1 where none is named."""
    cases = [case("gather_from_sp", 2, (2, 3, 4), dim) for dim in (0, 2, -1)]
    cases += [case("reduce_scatter_to_sp", 2, (2, 6, 4), dim) for dim in (0, -2, 2)]
    assert_operators(*launch_cases(launch, cases))


@exercise("sequence_parallel", aspect="equivalence")
def test_a_block_on_four_ranks(launch):
    """Four ranks of one token each, three passes in a step, and another step after it."""
    assert_block(*launch_block(launch, 4, 1, (3, 2)))


@exercise("sequence_parallel", aspect="property")
def test_traffic_on_four_ranks(launch):
    """On 4 ranks, too, operators and blocks send no more than needed."""
    run, cases = launch_cases(launch, [case(op, 4, (8, 2, 2), 0) for op in OPERATORS])
    assert_operators(run, cases)
    assert_operator_traffic(run.comm, cases)


@exercise("sequence_parallel", aspect="property")
def test_a_long_sequence(launch):
    """What finish_grad_sync() sends does not depend on the number of tokens."""
    run, *given = launch_block(launch, 2, 20, (1,))
    assert_block(run, *given)
    assert_block_traffic(run.comm, 2 * 40 * 4, 4)


@exercise("sequence_parallel", aspect="robustness")
def test_neither_x_nor_the_gradient_need_be_contiguous(launch):
    """Transposed tensors give the results of others."""
    assert_operators(*launch_cases(launch, [case(op, 2, transposed=True) for op in OPERATORS]))


@exercise("sequence_parallel", aspect="robustness")
def test_one_rank(launch):
    """On one rank the block is an ordinary one."""
    assert_block(*launch_block(launch, 1, 3, (1,)))
    assert_operators(*launch_cases(launch, [case(op, 1) for op in OPERATORS]))
