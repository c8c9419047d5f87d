"""Baselines and assertions that the public and the hidden tests of timeline.py share."""

from course_env.layout import Slot


def assert_runs(stages, p, m, t_f, t_b):
    """Every pass is there once, on a free stage, after the passes that it needs, and as early as it can be."""
    call = f"timeline(p={p}, m={m}, t_f={t_f}, t_b={t_b})"
    assert isinstance(stages, list), f"{call} returned {_short(stages)}, where a list with a list for each stage is due"
    assert len(stages) == p, f"{call} has {len(stages)} lists, and one for each of {p} stages is due"
    orders = set()
    ends = {}
    for stage, slots in enumerate(stages):
        where = f"on stage {stage} of {call}"
        assert isinstance(slots, list), f"{where} there is {_short(slots)}, where a list of Slots is due"
        assert all(isinstance(slot, Slot) for slot in slots), f"{where} something is no Slot: {_short(slots)}"
        kinds = "".join(slot.kind for slot in slots)
        assert kinds == "F" * m + "B" * m, f"{where} passes are {kinds}, and {'F' * m + 'B' * m} is due"
        order = [slot.micro_batch for slot in slots[:m]]
        assert order == list(range(m)), f"{where} forward passes go in the order {order}"
        orders.add(tuple(slot.micro_batch for slot in slots[m:]))
        for slot in slots:
            lasts = {"F": t_f, "B": t_b}[slot.kind]
            assert slot.end - slot.start == lasts, f"{where} {_named(slot)} lasts {slot.end - slot.start}, not {lasts}"
            ends[stage, slot.kind, slot.micro_batch] = slot.end
    assert len(orders) == 1, f"backward passes of {call} go in different orders on different stages"
    (order,) = orders
    assert list(order) in (list(range(m)), list(reversed(range(m)))), (
        f"backward passes of {call} go in the order {order}"
    )
    for stage, slots in enumerate(stages):
        free = 0
        for slot in slots:
            needs = {"F": (stage - 1, "F"), "B": (stage + 1, "B") if stage < p - 1 else (stage, "F")}[slot.kind]
            ready = ends.get((*needs, slot.micro_batch), 0)
            told = f"{_named(slot)} begins at {slot.start} on stage {stage} of {call}"
            assert slot.start >= free, f"{told}, and the stage is not free before {free}"
            assert slot.start >= ready, (
                f"{told}, and what it needs is not there before {ready}, when stage {needs[0]} ends {needs[1]} of it"
            )
            assert slot.start == max(free, ready), f"{told}, and could begin at {max(free, ready)}"
            free = slot.end


def _named(slot):
    return f"the {'forward' if slot.kind == 'F' else 'backward'} pass of micro-batch {slot.micro_batch}"


def _short(value):
    text = repr(value)
    return text if len(text) < 80 else f"{text[:77]}..."
