"""Random numbers that are the same on all ranks where tensors are replicated, and differ where they are cut."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup


class TPRng:
    """Two streams of random numbers on each rank: "replicated", the same on all ranks of `group`, and "tp", another on each.

    The streams begin as those of torch.Generator().manual_seed(s) do, with s = seed for "replicated" and
    s = seed + 2718 + r for "tp" on the rank that is number r *in the group* (None: all ranks).

    Communicates: nothing.
    Source: Shoeybi et al. 2019, Megatron-LM: Training Multi-Billion Parameter Language Models Using Model Parallelism, arXiv:1909.08053, appendix B.2
    """

    def __init__(self, seed: int, *, group: ProcessGroup | None = None) -> None:
        # TODO(tp_rng): write this part, and delete the line below.
        raise NotImplementedError("TODO(tp_rng)")

    @contextmanager
    def fork(self, region: str) -> Iterator[None]:
        """Let torch's default generator draw from the stream of `region` inside a with block.

        The stream goes on where the last block of this region ended. After the block, also if it was left by an exception, the
        default generator is as it was before. Inside it, a block of the other region may be opened.

        Raises: ValueError if region is neither "replicated" nor "tp".
        """
        # TODO(tp_rng): write this part, and delete the line below.
        raise NotImplementedError("TODO(tp_rng)")

    def state(self) -> dict[str, Tensor]:
        """Return where both streams are, by region. What is drawn later does not change what was returned."""
        # TODO(tp_rng): write this part, and delete the line below.
        raise NotImplementedError("TODO(tp_rng)")

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Put both streams back to where they were when `state()` returned this; it may be loaded several times."""
        # TODO(tp_rng): write this part, and delete the line below.
        raise NotImplementedError("TODO(tp_rng)")


def tp_dropout(x: Tensor, p: float, region: str, rng: TPRng) -> Tensor:
    """Return x with each element set to zero with probability p, and the others divided by 1 - p.

    The elements that stay are those where torch.rand(x.shape), drawn once from rng's stream of `region`, is at least p. It is
    drawn whatever p is, so that streams do not depend on it. With p = 1 the result is zeros. x stays as it was, and so does the
    default generator.

    Shapes: x and the result have the same shape, any shape.
    Gradients: dropped elements have gradient 0, the others that of the result divided by 1 - p.
    Communicates: nothing.
    Raises: ValueError if p is not between 0 and 1, before anything is drawn.
    """
    # TODO(tp_rng): write this part, and delete the line below.
    raise NotImplementedError("TODO(tp_rng)")
