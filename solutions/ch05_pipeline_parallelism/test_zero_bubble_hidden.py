"""Hidden tests of exercise `zero_bubble`."""

import torch

from assignments.ch05_pipeline_parallelism.references_zero_bubble import assert_keeps_one_f_one_b, by_autograd, layer
from course_env.rank_programs import call_each
from grader.harness import assert_arguments_kept, assert_each_returns, exercise
from solutions.ch05_pipeline_parallelism.schedules import one_f_one_b_schedule
from solutions.ch05_pipeline_parallelism.simulator import simulate

SIZES = [(p, m) for p in range(2, 9) for m in range(1, 17)]


@exercise("zero_bubble", aspect="equivalence")
def test_layers_of_other_shapes(launch):
    """Gradients of a single row, of no rows and of inputs that are not contiguous are autograd's."""
    turned = [tensor.transpose(0, 1) if tensor.dim() == 3 else tensor for tensor in layer(4, 3, d_in=2, d_out=7)]
    layers = [layer(1, d_in=1, d_out=4), layer(0), layer(2, 1, 1, 2, d_in=3, d_out=3), turned]
    due = [by_autograd(*one) for one in layers]
    for part, (name, function) in enumerate({"w": "linear_backward_input", "x": "linear_backward_weight"}.items()):
        calls = [{"gy": gy, name: w if name == "w" else x} for gy, w, x in layers]
        run = launch(call_each, 1, shared={"function": function, "calls": calls}, process_group=False)
        assert_each_returns(run, function, calls, [gradients[part] for gradients in due])
        assert_arguments_kept(run, "call")


@exercise("zero_bubble", aspect="robustness")
def test_layers_in_single_precision(launch):
    """The gradients have the dtype of what they are computed from."""
    gy, w, x = (tensor.float() for tensor in layer(3))
    for name, given, function in (("w", w, "linear_backward_input"), ("x", x, "linear_backward_weight")):
        calls = [{"gy": gy, name: given}]
        run = launch(call_each, 1, shared={"function": function, "calls": calls}, process_group=False)
        due = by_autograd(gy, w, x)[0 if name == "w" else 1]
        assert due.dtype == torch.float32
        assert_each_returns(run, function, calls, [due], rel=1e-5)


@exercise("zero_bubble", aspect="property")
def test_time_and_memory_of_every_size(launch):
    """For 2 to 8 devices and 1 to 16 micro-batches the step ends at 2 m + p - 1 + max(m, p) and min(m, p) are held."""
    found = assert_keeps_one_f_one_b(launch, SIZES, one_f_one_b_schedule)
    for (call, value), (p, m) in zip(found, SIZES, strict=True):
        simulated = simulate(value, t_f=1, t_b=1, t_w=1)
        due = 2 * m + p - 1 + max(m, p)
        ends = getattr(simulated, "makespan", None)
        assert ends == due, f"{call} ends at {ends or simulated} if F, B and W take 1 each, and {due} is due"
