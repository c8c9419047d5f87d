"""Why a tensor differs from its reference, where the error has a shape."""

import math
from collections.abc import Callable, Iterator, Sequence

from grader.harness.compare import wrong_order, wrong_rank, wrong_value
from grader.harness.compare.compared import Compared
from grader.harness.compare.hypothesis import Case, Explanation, Hypothesis, believed
from grader.harness.mistake import Mistake

Diagnosis = Callable[[Case], Iterator[Hypothesis | Explanation]]

# The student reads the first explanation that holds, so the order matters. First come those that leave nothing to choose:
# plain facts, values the test knows, factors the world size names, another rank's values. Then come those picked from a few
# arrangements, then those fitted to the data, and last those that only say where the error lies. Some can hold together:
# own_block says more than zero (an unfilled gather buffer), a factor of 1/N also makes the sum over ranks the reference, and
# small integers have no more digits than bfloat16.
DIAGNOSES: tuple[Diagnosis, ...] = (
    wrong_value.non_finite,
    wrong_rank.own_block,
    wrong_value.zero,
    wrong_value.stale,
    wrong_value.named_factor,
    wrong_value.named_step,
    wrong_value.accumulated,
    wrong_rank.ranks_mixed_up,
    wrong_rank.only_local,
    wrong_rank.reduced,
    wrong_order.transposed,
    wrong_order.misread,
    wrong_order.interleaved,
    wrong_order.blocks_reordered,
    wrong_order.reversed_,
    wrong_order.rolled,
    wrong_value.fraction_lost,
    wrong_value.too_few_digits,
    wrong_value.fitted_factor,
    wrong_value.factor_per_rank,
    wrong_value.factor_per_slice,
    wrong_value.offset,
    wrong_order.shuffled,
    wrong_rank.right_block,
    wrong_rank.single_right_rank,
)


def diagnose(ranks: Sequence[Compared], world_size: int, beside: str | None = None) -> Explanation | None:
    """Return what explains every wrong entry of a tensor on every rank, or None.

    beside: the path of a tensor that belongs to it and is right, such as another gradient of the same step
    """
    wrong = tuple(compared for compared in ranks if compared.where.numel())
    if not wrong:
        return None
    case = Case(ranks=tuple(ranks), wrong=wrong, world_size=world_size, beside=beside)
    candidates = (candidate for diagnosis in DIAGNOSES for candidate in diagnosis(case))
    found = (believed(candidate, case) if isinstance(candidate, Hypothesis) else candidate for candidate in candidates)
    return next((explanation for explanation in found if explanation), None)


def explain_shape(actual: Sequence[int], expected: Sequence[int], world_size: int) -> Explanation | None:
    """Return what a wrong shape suggests, or None."""
    if tuple(actual) == tuple(reversed(expected)):
        return Explanation("Transposed?", Mistake.TRANSPOSED)
    if math.prod(actual) == math.prod(expected):
        return Explanation("The number of elements is right: a reshape is missing?", Mistake.SHAPE)
    dims = [dim for dim, (a, e) in enumerate(zip(actual, expected, strict=False)) if a != e]
    if len(actual) == len(expected) and len(dims) == 1 and world_size > 1:
        (dim,) = dims
        if actual[dim] == expected[dim] * world_size:
            sentence = f"Dim {dim} is {world_size} times too long: the whole where this rank's shard is due?"
            return Explanation(sentence, Mistake.WHOLE_FOR_SHARD)
        if actual[dim] * world_size == expected[dim]:
            sentence = f"Dim {dim} is {world_size} times too short: this rank's shard where the whole is due?"
            return Explanation(sentence, Mistake.SHARD_FOR_WHOLE)
    return None
