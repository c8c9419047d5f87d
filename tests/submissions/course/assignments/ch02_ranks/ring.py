"""All-reduce, by messages round a ring."""

from torch import Tensor


def sum_over_ranks(x: Tensor) -> Tensor:
    """Return the sum of all ranks' `x`, of one dimension and equally long on every rank; `x` stays as it is.

    Communicates: 2 (N - 1) steps; in each, every rank sends ceil(len(x) / N) elements to the next rank of the ring.
    Source: Patarasuk and Yuan 2009, Bandwidth optimal all-reduce algorithms, doi:10.1016/j.jpdc.2008.09.002,
        section 3.
    """
    # TODO(sum_over_ranks): write this part, and delete the line below.
    raise NotImplementedError("TODO(sum_over_ranks)")
