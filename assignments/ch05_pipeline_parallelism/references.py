"""Schedules as text, and what the tests of several files assert of a schedule."""

import math
from collections import Counter

from course_env.pipeline import action_text
from course_env.rank_programs import call_each
from grader.harness.mistake import Mistake

LONGEST = 30  # actions of one device that a message shows
MOST_VALUES = 45_000  # that one launch returns


def text_of(actions):
    """Return what a device does as "F0 F1 B0 ...", cut if it is long."""
    texts = [action_text(action) for action in actions]
    return " ".join([*texts[:LONGEST], "..."] if len(texts) > LONGEST else texts)


def read_schedule(lines):
    """Return the schedule that lines of text stand for, a line for each device: the opposite of `text_of`."""
    return tuple(tuple(_read(word) for word in line.split()) for line in lines)


def _read(word):
    micro_batch, _, chunk = word[1:].partition("/")
    return (word[0], int(micro_batch), int(chunk or 0))


def assert_is_schedule(value, call, p, m, *, v=1, kinds="FB"):
    """Assert that a value is a schedule in which every device has every action once; say what is there too much, or missing."""
    is_tuple = isinstance(value, tuple) and all(isinstance(actions, tuple) for actions in value)
    assert is_tuple, (
        f"{call} returned a {_types_of(value)}. A schedule is a tuple with a tuple of actions for each device."
    )
    assert len(value) == p, f"{call} returned a schedule of {len(value)} devices; there are {p}."
    due = Counter((kind, i, c) for kind in kinds for i in range(m) for c in range(v))
    for device, actions in enumerate(value):
        odd = [action for action in actions if not _is_action(action)]
        assert not odd, f"{call}, device {device}: {odd[0]!r} is no action such as ('F', 0, 0)."
        extra, missing = Counter(actions) - due, due - Counter(actions)
        assert not missing, f"{call}, device {device}: {text_of(missing)} missing in {text_of(actions)}."
        assert not extra, f"{call}, device {device}: {text_of(extra)} once too often in {text_of(actions)}."


def _types_of(value):
    inner = {type(actions).__name__ for actions in value} if isinstance(value, list | tuple) else set()
    return f"{type(value).__name__} of {' and '.join(sorted(inner))}" if inner else type(value).__name__


def _is_action(action):
    return isinstance(action, tuple) and [type(part) for part in action] == [str, int, int]


def in_flight(actions, last="B"):
    """Return the most forward passes that a device holds at once, if each is held until its action `last`."""
    now = peak = 0
    for kind, _, _ in actions:
        now += (kind == "F") - (kind == last)
        peak = max(peak, now)
    return peak


def assert_same_order(value, due, call):
    """Assert that every device has its actions in the order that is due; say where the order first differs."""
    for device, (actions, right) in enumerate(zip(value, due, strict=True)):
        if actions == right:
            continue
        at = next(k for k, (one, other) in enumerate(zip(actions, right, strict=True)) if one != other)
        raise AssertionError(
            f"{Mistake.ORDER}\n{call}, device {device}: after {text_of(right[:at]) or 'nothing'} comes "
            f"{action_text(actions[at])}, and {action_text(right[at])} is due.\n"
            f"  due       {text_of(right)}\n  returned  {text_of(actions)}"
        )


def schedules_of(launch, function, calls):
    """Call the student's function once for each dict of sizes; return the text of each call and the value it returned."""
    found = []
    for some in _batches(calls):
        run = launch(call_each, 1, shared={"function": function, "calls": some}, process_group=False)
        texts = [f"{function}({', '.join(f'{name}={size}' for name, size in sizes.items())})" for sizes in some]
        for text, error in zip(texts, run["errors"][0], strict=True):
            assert not error, f"{Mistake.RAISED}\n{text} raised {error}, where an answer is due."
        found += zip(texts, run["values"][0], strict=True)
    return found


def _batches(calls):
    """Cut calls into batches whose answers fit into one launch."""
    batches, size = [[]], 0
    for sizes in calls:
        answer = 15 * math.prod(sizes.values())  # with W an action for three things, and four values for each
        if size + answer > MOST_VALUES:
            batches, size = [*batches, []], 0
        batches[-1].append(sizes)
        size += answer
    return batches


def torchs_schedule(name, p, v, m):
    """Return the action lists of a schedule of torch.distributed.pipelining, without its idle slots.

    It is imported here, in the judge's process alone, because that takes as long as importing torch. The lists need no
    stages and no process group, which the constructor asks for.
    """
    from torch.distributed.pipelining import schedules

    schedule = object.__new__(getattr(schedules, name))
    sizes = {
        "_num_stages": p,
        "_n_microbatches": m,
        "n_local_stages": v,
        "pp_group_size": p,
        "microbatches_per_round": p,
    }
    vars(schedule).update(sizes)
    if v == 1:
        lists = [schedule._get_pipeline_order()[device] for device in range(p)]
    else:
        lists = [schedule._calculate_single_rank_operations(device) for device in range(p)]
    slots = [[slot for slot in actions if slot and slot.computation_type.value in ("F", "B")] for actions in lists]
    return tuple(
        tuple((slot.computation_type.value, slot.microbatch_index, slot.stage_index // p) for slot in actions)
        for actions in slots
    )


def random_schedule(p, v, m, kinds, rng):
    """Return a random legal schedule: play it, letting a random device do a random action of those that it could do."""
    todo = [[(kind, i, c) for kind in kinds for i in range(m) for c in range(v)] for _ in range(p)]
    played, done = [[] for _ in range(p)], set()
    while any(todo):
        device = rng.choice([d for d in range(p) if todo[d]])
        rng.shuffle(todo[device])
        for action in todo[device]:
            kind, i, stage = action[0], action[1], action[2] * p + device
            needs = {"F": [("F", i, stage - 1)], "B": [("F", i, stage), ("B", i, stage + 1)], "W": [("B", i, stage)]}
            if all(need in done for need in needs[kind] if 0 <= need[2] < p * v):
                todo[device].remove(action)
                played[device].append(action)
                done.add((kind, i, stage))
                break
    return tuple(map(tuple, played))
