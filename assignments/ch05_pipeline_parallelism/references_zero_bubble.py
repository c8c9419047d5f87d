"""Assertions that the public and the hidden tests of zero_bubble.py share."""

import torch

from assignments.ch05_pipeline_parallelism import programs_zero_bubble as programs
from assignments.ch05_pipeline_parallelism.references import assert_is_schedule, in_flight, schedules_of, text_of

from grader.harness import assert_matches
from grader.harness.compare.arguments import assert_unchanged


def layer(*leading, d_in=5, d_out=3):
    """Return random gy, w and x of a linear layer with these leading dims."""
    sizes = ((*leading, d_out), (d_out, d_in), (*leading, d_in))
    return [torch.randn(size, dtype=torch.float64) for size in sizes]


def by_autograd(gy, w, x):
    """Return the gradients of x and w that autograd computes."""
    w, x = w.clone().requires_grad_(), x.clone().requires_grad_()
    return torch.autograd.grad(torch.nn.functional.linear(x, w), (x, w), gy)


def assert_gradients(launch, layers):
    """Assert that both parts of backward give autograd's gradients for these layers, and leave alone what they are given."""
    run = launch(programs.backward_in_two_parts, 1, shared={"layers": layers}, process_group=False)
    due = [by_autograd(*one) for one in layers]
    inputs, weights = [one for one, _ in due], [one for _, one in due]
    rtol = None if layers[0][0].dtype == torch.float64 else 1e-5
    assert_matches(run["weights"], weights, rtol=rtol, what="linear_backward_weight")
    assert_unchanged(run["given"], layers, "gy, w or x")
    assert_matches(run["inputs"], inputs, rtol=rtol, what="linear_backward_input")
    assert_matches(run["weights_again"], weights, rtol=rtol, what="linear_backward_weight, called again")


def assert_keeps_one_f_one_b(launch, sizes, order_of):
    """Assert that F and B are in the order of 1F1B, every W after its B, and memory within bounds; return the schedules.

    order_of: from p and m to the schedule of 1F1B
    """
    found = schedules_of(launch, "zb_h1_schedule", [{"p": p, "m": m} for p, m in sizes])
    for (call, value), (p, m) in zip(found, sizes, strict=True):
        assert_is_schedule(value, call, p, m, kinds="FBW")
        for device, (actions, order) in enumerate(zip(value, order_of(p, m), strict=True)):
            where = f"{call}, device {device}"
            rest = tuple(action for action in actions if action[0] != "W")
            assert rest == order, f"{where}: without W this is {text_of(rest)}, and 1F1B is {text_of(order)}."
            last = [i for kind, i, _ in actions if kind == "W"]
            assert last == sorted(last), (
                f"{where}: the W are not in the order of the micro-batches: {text_of(actions)}."
            )
            early = [i for i in range(m) if actions.index(("W", i, 0)) < actions.index(("B", i, 0))]
            assert not early, f"{where}: W{early[:1][0]} comes before B{early[:1][0]}: {text_of(actions)}."
            held, most = in_flight(actions, last="W"), min(m, p)
            assert held <= most, (
                f"{where} holds {held} micro-batches between their F and the end of their W, and at most {most} are allowed: "
                f"{text_of(actions)}"
            )
    return found
