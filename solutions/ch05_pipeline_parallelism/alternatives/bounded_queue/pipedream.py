"""Each stage is a queue with room for just the versions that it needs."""

from collections import deque


class Stage:
    """The versions of one stage."""

    def __init__(self, weight, delay):
        self.versions = deque([weight.clone()], maxlen=delay + 1)
        self.most = 0

    def begin(self):
        """Return the version to work with."""
        self.most = max(self.most, len(self.versions))
        return self.versions[0]

    def update(self, step):
        """Make the next version."""
        self.versions.append(self.versions[-1] - step)


def pipedream_train(weights, batches, grad_fn, lr, mode):
    """Return the trained weights, and the versions held."""
    p = len(weights)
    delay = {"stash": lambda s: p - 1 - s, "2bw": lambda s: 1, "flush": lambda s: 0}.get(mode)
    if delay is None or p == 0:
        raise ValueError(f"{mode!r} with {p} stages")
    stages = [Stage(weight, delay(s)) for s, weight in enumerate(weights)]
    for batch in batches:
        for stage, gradient in zip(stages, grad_fn([stage.begin() for stage in stages], batch), strict=True):
            stage.update(lr * gradient)
    return [stage.versions[-1] for stage in stages], [stage.most for stage in stages]
