"""Assertions that the public and the hidden tests of simulator.py share."""

from assignments.ch05_pipeline_parallelism.references import text_of
from course_env.communication import Deadlock
from course_env.pipeline import action_text
from course_env.rank_programs import call_each
from grader.harness.mistake import Mistake


def assert_simulates(launch, calls, due):
    """Assert that simulate returns what is due for these arguments; say which action begins at a wrong time."""
    run = launch(call_each, 1, shared={"function": "simulate", "calls": calls}, process_group=False)
    ends = zip(calls, run["values"][0], run["errors"][0], due, strict=True)
    for arguments, value, error, right in ends:
        times = ", ".join(f"{name}={time}" for name, time in arguments.items() if name != "schedule")
        lists = "".join(f"\n  device {d}: {text_of(actions)}" for d, actions in enumerate(arguments["schedule"]))
        call = f"simulate(schedule, {times}), with the schedule{lists}\n"
        assert not error, f"{Mistake.RAISED}\n{call}raised {error}, where an answer is due."
        assert type(value) is type(right), f"{Mistake.TYPE}\n{call}returned {value!r}, and {_short(right)} is due."
        if isinstance(right, Deadlock):
            assert value == right, f"{call}blocked is {value.blocked}, and {right.blocked} is due."
        else:
            _assert_same(value, right, arguments["schedule"], call)


def _short(right):
    return f"a {type(right).__name__}" + (f" with blocked={right.blocked}" if isinstance(right, Deadlock) else "")


def _assert_same(value, right, schedule, call):
    for device, row in enumerate(schedule):
        found = value.times[device] if len(value.times) > device else ()
        for k, action in enumerate(row):
            begins = found[k] if k < len(found) else "missing"
            assert begins == right.times[device][k], (
                f"{call}times[{device}][{k}], that of {action_text(action)}, is {begins}; {right.times[device][k]} is due."
            )
    for name in ("makespan", "peak", "bubble"):
        found, is_due = getattr(value, name), getattr(right, name)
        assert found == is_due, f"{call}{name} is {found}, and {is_due} is due."
    assert value == right, f"{call}times has more entries than the schedule has actions."
