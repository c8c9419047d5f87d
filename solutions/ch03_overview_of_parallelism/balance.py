"""Which layers go to which stage of a pipeline."""

from collections.abc import Sequence

### BEGIN SOLUTION
from functools import cache
from itertools import accumulate

### END SOLUTION


def partition_layers(costs: Sequence[int], stages: int) -> list[int]:
    """Return how many layers each stage gets, so that the most expensive stage is as cheap as it can be.

    costs: of each layer, in order, whole numbers that are not negative; a stage costs the sum of its layers
    stages: each gets at least one layer, and layers stay in order

    Among equally good answers it is the one with the fewest layers in the first stage, then in the second, and so on.
    Sixty layers on sixteen stages take well under a second. costs stays as it was.

    Raises: ValueError for stages < 1, and for more stages than layers.
    Source: Narayanan et al. 2019, PipeDream: Generalized Pipeline Parallelism for DNN Training, doi:10.1145/3341301.3359646, section 3.1
    """
    ### BEGIN SOLUTION
    if not 1 <= stages <= len(costs):
        raise ValueError(f"stages must be from 1 to the number of layers, {len(costs)}, not {stages}.")
    before = [0, *accumulate(costs)]

    @cache
    def least(start: int, left: int) -> int:
        """Return the cost of the most expensive of `left` stages that hold all layers from `start` on."""
        if left == 1:
            return before[-1] - before[start]
        ends = range(start + 1, len(costs) - left + 2)
        return min(max(before[end] - before[start], least(end, left - 1)) for end in ends)

    limit, start, counts = least(0, stages), 0, []
    for left in range(stages, 1, -1):
        # the first cut after which the rest still keeps within the limit
        end = next(
            end
            for end in range(start + 1, len(costs))
            if len(costs) - end >= left - 1 and least(end, left - 1) <= limit
        )
        counts.append(end - start)
        start = end
    return [*counts, len(costs) - start]
    ### END SOLUTION
