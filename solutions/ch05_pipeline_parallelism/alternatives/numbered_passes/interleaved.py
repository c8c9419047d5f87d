"""Interleaved 1F1B by the formulas of Megatron-LM for the k-th pass."""


def interleaved_1f1b_schedule(p, v, m):
    """Return the interleaved schedule."""
    if min(p, v, m) < 1 or m % p:
        raise ValueError(f"No schedule for {p}, {v}, {m}.")

    def action(kind, k):
        chunk = k % (p * v) // p
        return (kind, k // (p * v) * p + k % p, chunk if kind == "F" else v - 1 - chunk)

    schedule = []
    for rank in range(p):
        total, warm_up = m * v, min(m * v, (p - rank - 1) * 2 + (v - 1) * p)
        actions = [action("F", k) for k in range(warm_up)]
        for k in range(total - warm_up):
            actions.append(action("F", k + warm_up))
            actions.append(action("B", k))
        actions.extend(action("B", k) for k in range(total - warm_up, total))
        schedule.append(tuple(actions))
    return tuple(schedule)
