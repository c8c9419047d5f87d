"""Assertions that the public and the hidden tests of interleaved.py share."""

from assignments.ch05_pipeline_parallelism.references import assert_is_schedule, assert_same_order, schedules_of


def assert_interleaved(launch, sizes, due):
    """Assert that interleaved_1f1b_schedule returns the schedules that are due for these sizes (p, v, m)."""
    calls = [{"p": p, "v": v, "m": m} for p, v, m in sizes]
    found = schedules_of(launch, "interleaved_1f1b_schedule", calls)
    for (call, value), (p, v, m), right in zip(found, sizes, due, strict=True):
        assert_is_schedule(value, call, p, m, v=v)
        assert_same_order(value, right, call)
    return [value for _, value in found]
