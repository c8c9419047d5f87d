"""PipeDream: pipelines that never drain, and what their gradients are then gradients of. In one process."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor


def pipedream_train(
    weights: Sequence[Tensor],
    batches: Sequence[Any],
    grad_fn: Callable[[list[Tensor], Any], Sequence[Tensor]],
    lr: float,
    mode: Literal["stash", "2bw", "flush"],
) -> tuple[list[Tensor], list[int]]:
    """Train as a pipeline of p = len(weights) stages would that updates its weights in the given manner.

    `grad_fn(used, batch)` returns the gradients of all stages for a batch, if stage s works with `used[s]` forward and
    backward. It is called once per batch, in order. Version k of a stage's weights is what it has after k updates; version 0 is
    in `weights`. The update of batch t, counted from 0, is version t + 1 = version t - lr * the gradients of batch t, on
    every stage. What differs is the versions with which these gradients are computed:

    * "stash", PipeDream with weight stashing: stage s works with version t - (p - 1 - s). Batches are in flight when the
      weights change, and each is finished with the weights that it began with; the last stage is up to date, the first p - 1
      updates behind.
    * "2bw", PipeDream-2BW: every stage works with version t - 1.
    * "flush": the pipeline is drained before each update, and every stage works with version t.

    Where a version would be negative, it is version 0.

    A stage holds a version as long as it will be needed, by a later gradient or for the next update, and no longer. The result
    is the last version of every stage, and for each stage the most versions that it held when grad_fn was called.

    `weights` and `batches` stay as they were, and the result shares no memory with them.

    Raises: ValueError for another mode, or if there are no stages.
    Source: Narayanan et al. 2019, PipeDream: Generalized Pipeline Parallelism for DNN Training, doi:10.1145/3341301.3359646, section 3.3; Narayanan et al. 2020, Memory-Efficient Pipeline-Parallel DNN Training, arXiv:2006.09503, section 3.1
    """
    # TODO(pipedream): write this part, and delete the line below.
    raise NotImplementedError("TODO(pipedream)")
