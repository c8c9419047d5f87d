"""Baselines and assertions that the public and the hidden tests of timeline.py share."""

from course_env.layout import Slot
from grader.harness.mistake import Mistake


def assert_runs(stages, p, m, t_f, t_b):
    """Check that every pass is there once, on a free stage, after the passes that it needs, and as early as it can be."""
    call = f"timeline(p={p}, m={m}, t_f={t_f}, t_b={t_b})"
    kind, problem = (
        _misplaced(stages, p, m) or _turned(stages, m) or _untimely(stages, p, {"F": t_f, "B": t_b}) or ("", "")
    )
    if problem:
        raise AssertionError(f"{kind}\n{call}: {problem}.")


def _misplaced(stages, p, m):
    """Return what is wrong with the lists and with the kinds of passes in them."""
    slots_in = [slot for slots in stages for slot in slots] if _is_list_of(stages, list) else [None]
    if not _is_list_of(slots_in, Slot):
        return Mistake.TYPE, f"returned {_short(stages)}, where a list with a list of Slots for each stage is due"
    if len(stages) != p:
        return Mistake.LENGTH, f"returned {len(stages)} lists, and one for each of {p} stages is due"
    for stage, slots in enumerate(stages):
        kinds = "".join(slot.kind for slot in slots)
        if kinds != "F" * m + "B" * m:
            return Mistake.ORDER, f"passes on stage {stage} are {kinds}, and {'F' * m + 'B' * m} is due"
        order = [slot.micro_batch for slot in slots[:m]]
        if order != list(range(m)):
            return Mistake.ORDER, f"forward passes on stage {stage} go in the order {order}"
    return None


def _turned(stages, m):
    """Return what is wrong with the order of the backward passes."""
    orders = {tuple(slot.micro_batch for slot in slots[m:]) for slots in stages}
    if len(orders) > 1:
        return Mistake.ORDER, "backward passes go in different orders on different stages"
    (order,) = orders
    if order not in (tuple(range(m)), tuple(reversed(range(m)))):
        return Mistake.ORDER, f"backward passes go in the order {list(order)}"
    return None


def _untimely(stages, p, lasts):
    """Return what is wrong with the times of the passes."""
    ends = {(stage, slot.kind, slot.micro_batch): slot.end for stage, slots in enumerate(stages) for slot in slots}
    for stage, slots in enumerate(stages):
        free = 0
        for slot in slots:
            needs = {"F": (stage - 1, "F"), "B": (stage + 1, "B") if stage < p - 1 else (stage, "F")}[slot.kind]
            ready = ends.get((*needs, slot.micro_batch), 0)
            name = f"the {'forward' if slot.kind == 'F' else 'backward'} pass of micro-batch {slot.micro_batch}"
            told = f"{name} on stage {stage} begins at {slot.start}"
            if slot.end - slot.start != lasts[slot.kind]:
                return Mistake.VALUES, f"{name} on stage {stage} lasts {slot.end - slot.start}, not {lasts[slot.kind]}"
            if slot.start < free:
                return Mistake.VALUES, f"{told}, and the stage is not free before {free}"
            if slot.start < ready:
                passes = {"F": "forward", "B": "backward"}[needs[1]]
                return Mistake.VALUES, f"{told}, before its {passes} pass on stage {needs[0]} ends at {ready}"
            if slot.start > max(free, ready):
                return Mistake.VALUES, f"{told}, and could begin at {max(free, ready)}"
            free = slot.end
    return None


def _is_list_of(value, kind):
    return isinstance(value, list) and all(isinstance(one, kind) for one in value)


def _short(value):
    text = repr(value)
    return text if len(text) < 80 else f"{text[:77]}..."
