"""Versions in a dict by their number, from which the old ones are deleted."""


def pipedream_train(weights, batches, grad_fn, lr, mode):
    """Return the trained weights, and the versions held."""
    p = len(weights)
    if not p:
        raise ValueError("no stages")
    if mode == "stash":
        behind = [p - 1 - s for s in range(p)]
    elif mode in ("2bw", "flush"):
        behind = [int(mode == "2bw")] * p
    else:
        raise ValueError(mode)
    history = [{0: weight.clone()} for weight in weights]
    counts = [0] * p
    t = 0
    for batch in batches:
        for s in range(p):
            for old in [number for number in history[s] if number < t - behind[s]]:
                del history[s][old]
            counts[s] = max(counts[s], len(history[s]))
        used = [history[s][max(0, t - behind[s])] for s in range(p)]
        gradients = list(grad_fn(used, batch))
        del used
        for s in range(p):
            history[s][t + 1] = history[s][t].sub(gradients[s], alpha=lr)
        t += 1
    return [history[s][t] for s in range(p)], counts
