"""Hidden tests of exercise `zero_bubble`."""

from assignments.ch05_pipeline_parallelism.references_zero_bubble import (
    assert_gradients,
    assert_keeps_one_f_one_b,
    layer,
)
from grader.harness import exercise
from solutions.ch05_pipeline_parallelism.schedules import one_f_one_b_schedule
from solutions.ch05_pipeline_parallelism.simulator import simulate

SIZES = [(p, m) for p in range(2, 9) for m in range(1, 17)]


@exercise("zero_bubble", aspect="equivalence")
def test_layers_of_other_shapes(launch):
    """Gradients of a single row, of no rows and of inputs that are not contiguous are autograd's."""
    turned = [tensor.transpose(0, 1) if tensor.dim() == 3 else tensor for tensor in layer(4, 3, d_in=2, d_out=7)]
    layers = [layer(1, d_in=1, d_out=4), layer(0), layer(2, 1, 1, 2, d_in=3, d_out=3), turned]
    assert_gradients(launch, layers)


@exercise("zero_bubble", aspect="robustness")
def test_layers_in_single_precision(launch):
    """The gradients have the dtype of what they are computed from."""
    assert_gradients(launch, [[tensor.float() for tensor in layer(3)]])


@exercise("zero_bubble", aspect="property")
def test_time_and_memory_of_every_size(launch):
    """For 2 to 8 devices and 1 to 16 micro-batches the step ends at 2 m + p - 1 + max(m, p) and min(m, p) are held."""
    found = assert_keeps_one_f_one_b(launch, SIZES, one_f_one_b_schedule)
    for (call, value), (p, m) in zip(found, SIZES, strict=True):
        simulated = simulate(value, t_f=1, t_b=1, t_w=1)
        due = 2 * m + p - 1 + max(m, p)
        ends = getattr(simulated, "makespan", None)
        assert ends == due, f"{call} ends at {ends or simulated} if F, B and W take 1 each, and {due} is due"
