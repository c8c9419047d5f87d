"""An embedding and a head that are one matrix, on the two ends of a pipeline."""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import nn


class TiedEmbedding:
    """Keeps the two copies of a tied weight equal: that of the embedding on the first stage, and that of the head on the last.

    `pipelines` holds the global ranks of every pipeline of the job, each from the first stage to the last: those of data
    parallelism have several, and no rank is in two of them. Every rank of the job makes this object, with the same
    `pipelines`, in a pipeline or not. `weight` is the rank's own copy if it is at one of the two ends of its pipeline, else
    None.

    When the object has been made, the weight on the last stage has the values of that on the first stage of the same pipeline.
    It is the same parameter as before: it was written to in place.

    In a pipeline of a single stage, embedding and head are one parameter already: there is nothing to do, then or later.

    Communicates: to make it, one broadcast of the weight in each pair of ends; the ranks between take no part.
    Raises: ValueError, on every rank and before anything is sent, if a rank is in more than one place of `pipelines`.
    Source: Shoeybi et al. 2019, Megatron-LM: Training Multi-Billion Parameter Language Models Using Model Parallelism, arXiv:1909.08053, section 3; Narayanan et al. 2021, arXiv:2104.04473, section 2.2
    """

    def __init__(self, weight: nn.Parameter | None, pipelines: Sequence[Sequence[int]]) -> None:
        # TODO(tied_embeddings): write this part, and delete the line below.
        raise NotImplementedError("TODO(tied_embeddings)")

    def sync_grad(self) -> None:
        """Give both copies the gradient of the tied weight, so that equal optimizers keep them equal.

        That is the sum of the two copies' gradients: the weight is used twice, and neither copy sees the other's use. A `.grad`
        that is None counts as zeros; afterwards both ends have a gradient. Every rank of a pipeline calls this once per step,
        after the last backward pass; on ranks between the ends nothing happens.

        Communicates: one all-reduce over each pair of ends, of as many bytes as the weight has.
        """
        # TODO(tied_embeddings): write this part, and delete the line below.
        raise NotImplementedError("TODO(tied_embeddings)")
