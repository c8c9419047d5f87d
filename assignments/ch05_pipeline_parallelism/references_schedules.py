"""Assertions that the public and the hidden tests of schedules.py share."""

from assignments.ch05_pipeline_parallelism.references import (
    assert_is_schedule,
    assert_same_order,
    in_flight,
    schedules_of,
    text_of,
)


def assert_gpipe(launch, sizes):
    """Assert that gpipe_schedule is GPipe's for all these sizes, with backward passes in either order."""
    calls = [{"p": p, "m": m} for p, m in sizes]
    found = schedules_of(launch, "gpipe_schedule", calls)
    for (call, value), (p, m) in zip(found, sizes, strict=True):
        assert_is_schedule(value, call, p, m)
        forward = tuple(("F", at, 0) for at in range(m))
        orders = [tuple(("B", i, 0) for i in order) for order in (range(m), reversed(range(m)))]
        backward = [actions[m:] for actions in value]
        assert len(set(backward)) == 1 or not set(backward) <= set(orders), (
            f"{call}: device 0 goes backward as {text_of(backward[0])}, the last device as {text_of(backward[-1])}. "
            "All devices must take one order, or gradients arrive in another order than they are waited for."
        )
        chosen = orders[1] if value[-1][m:] == orders[1] else orders[0]
        assert_same_order(value, ((*forward, *chosen),) * p, call)
    return [value for _, value in found]


def assert_one_f_one_b(launch, sizes, due):
    """Assert that one_f_one_b_schedule returns the schedules that are due for these sizes."""
    calls = [{"p": p, "m": m} for p, m in sizes]
    found = schedules_of(launch, "one_f_one_b_schedule", calls)
    for (call, value), (p, m), right in zip(found, sizes, due, strict=True):
        assert_is_schedule(value, call, p, m)
        for device, actions in enumerate(value):
            held, most = in_flight(actions), min(m, p - device)
            assert held <= most, (
                f"{call}, device {device} of {p}: {held} micro-batches in flight at once, at most {most} are due "
                f"(p - d, or m if that is less): {text_of(actions)}"
            )
        assert_same_order(value, right, call)
    return [value for _, value in found]
