"""A generator object for each stream; its state is swapped with that of the default generator."""

import contextlib
import copy

import torch
import torch.distributed as dist


class _Block:
    def __init__(self, generator):
        self.generator = generator

    def __enter__(self):
        self.outside = torch.default_generator.get_state()
        torch.default_generator.set_state(self.generator.get_state())

    def __exit__(self, *_):
        self.generator.set_state(torch.default_generator.get_state())
        torch.default_generator.set_state(self.outside)
        return False


class TPRng:
    """Two streams."""

    def __init__(self, seed, *, group=None):
        self.replicated, self.tp = torch.Generator(), torch.Generator()
        self.replicated.manual_seed(seed)
        self.tp.manual_seed(seed + 2718 + dist.get_rank(group))

    def fork(self, region):
        """Open a block."""
        with contextlib.suppress(KeyError):
            return _Block({"replicated": self.replicated, "tp": self.tp}[region])
        raise ValueError(f"no region {region}")

    def state(self):
        """Save."""
        return {"tp": self.tp.get_state(), "replicated": self.replicated.get_state()}

    def load_state(self, state):
        """Load."""
        kept = copy.deepcopy(state)
        self.tp.set_state(kept["tp"])
        self.replicated.set_state(kept["replicated"])


def tp_dropout(x, p, region, rng):
    """Drop."""
    if not (p >= 0 and p <= 1):
        raise ValueError("no probability")
    with rng.fork(region):
        drop = torch.rand(x.size()).lt(p)
    stay = x if p in (0, 1) else x / (1 - p)
    return stay.masked_fill(drop, 0)
