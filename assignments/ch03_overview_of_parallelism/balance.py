"""Which layers go to which stage of a pipeline."""

from collections.abc import Sequence


def partition_layers(costs: Sequence[int], stages: int) -> list[int]:
    """Return how many layers each stage gets, so that the most expensive stage is as cheap as it can be.

    costs: of each layer, in order, whole numbers that are not negative; a stage costs the sum of its layers
    stages: each gets at least one layer, and layers stay in order

    Among equally good answers it is the one with the fewest layers in the first stage, then in the second, and so on.
    Sixty layers on sixteen stages take well under a second. costs stays as it was.

    Raises: ValueError for stages < 1, and for more stages than layers.
    Source: Narayanan et al. 2019, PipeDream: Generalized Pipeline Parallelism for DNN Training, doi:10.1145/3341301.3359646, section 3.1
    """
    # TODO(partition_layers): write this part, and delete the line below.
    raise NotImplementedError("TODO(partition_layers)")
