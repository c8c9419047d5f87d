"""torch.random.fork_rng puts the default generator back."""

from contextlib import contextmanager

import torch
import torch.distributed as dist


class TPRng:
    """Two streams."""

    def __init__(self, seed, *, group=None):
        self.streams = {}
        with torch.random.fork_rng(devices=[]):
            for region, offset in (("replicated", 0), ("tp", 2718 + dist.get_rank(group))):
                torch.manual_seed(seed + offset)
                self.streams[region] = torch.random.get_rng_state()

    @contextmanager
    def fork(self, region):
        """Open a block."""
        if region not in ("replicated", "tp"):
            raise ValueError(region)
        with torch.random.fork_rng(devices=[]):
            torch.random.set_rng_state(self.streams[region])
            try:
                yield self
            finally:
                self.streams[region] = torch.random.get_rng_state()

    def state(self):
        """Save."""
        return dict(self.streams)

    def load_state(self, state):
        """Load."""
        self.streams = dict(state)


class _Masked(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, scale):
        ctx.save_for_backward(scale)
        return x * scale

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.saved_tensors[0], None


def tp_dropout(x, p, region, rng):
    """Drop."""
    if p < 0 or p > 1:
        raise ValueError(p)
    with rng.fork(region):
        drawn = torch.rand(x.shape)
    scale = torch.where(drawn < p, 0.0, 1.0).to(x.dtype)
    return _Masked.apply(x, scale if p == 1 else scale / (1 - p))
