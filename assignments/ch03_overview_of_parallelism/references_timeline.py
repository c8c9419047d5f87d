"""Baselines and assertions that the public and the hidden tests of timeline.py share."""


def assert_runs(stages, p, m, t_f, t_b):
    """Every pass is there once, on a free stage, after the passes that it needs, and as early as it can be."""
    assert len(stages) == p, f"a timeline of {p} stages has {len(stages)} lists"
    orders = set()
    ends = {}
    for stage, slots in enumerate(stages):
        where = f"on stage {stage} of p={p}, m={m}, t_f={t_f}, t_b={t_b}"
        assert [slot.kind for slot in slots] == ["F"] * m + ["B"] * m, (
            f"{m} forward and then {m} backward passes are due {where}"
        )
        assert [slot.micro_batch for slot in slots[:m]] == list(range(m)), f"forward passes are out of order {where}"
        orders.add(tuple(slot.micro_batch for slot in slots[m:]))
        for slot in slots:
            lasts = {"F": t_f, "B": t_b}[slot.kind]
            assert slot.end - slot.start == lasts, f"{slot} does not last {lasts} {where}"
            ends[stage, slot.kind, slot.micro_batch] = slot.end
    assert orders <= {tuple(range(m))} or orders <= {tuple(reversed(range(m)))}, (
        "backward passes are in different orders"
    )
    for stage, slots in enumerate(stages):
        free = 0
        for slot in slots:
            needs = {"F": (stage - 1, "F"), "B": (stage + 1, "B") if stage < p - 1 else (stage, "F")}[slot.kind]
            ready = max(free, ends.get((*needs, slot.micro_batch), 0))
            assert slot.start == ready, f"stage {stage} could begin {slot} at {ready}"
            free = slot.end
