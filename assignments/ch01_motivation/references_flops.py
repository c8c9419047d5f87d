"""Baselines and assertions that the public and the hidden tests of flops.py share."""

from course_env.rank_programs import call_each


def assert_flops(launch, calls, expected):
    """Every call returns the whole number that is expected of it."""
    shared = {"function": "train_flops", "calls": calls}
    found = launch(call_each, 1, shared=shared, process_group=False)["values"][0]
    for call, number, right in zip(calls, found, expected, strict=True):
        told = ", ".join(f"{name}={value!r}" for name, value in call.items())
        ratio = f"; that is {number / right:.4f} times as much" if isinstance(number, int | float) else ""
        assert number == right, f"train_flops({told}) is {number}, and PyTorch counts {right}{ratio}"
