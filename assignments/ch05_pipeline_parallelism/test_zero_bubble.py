"""Public tests of exercise `zero_bubble`."""

from assignments.ch05_pipeline_parallelism.references import assert_same_order, read_schedule
from assignments.ch05_pipeline_parallelism.references_zero_bubble import (
    assert_gradients,
    assert_keeps_one_f_one_b,
    layer,
)
from course_env.rank_programs import call_each
from grader.harness import assert_each_raises, exercise

# Of 1F1B, without W.
ONE_F_ONE_B = {
    (1, 2): ["F0 B0 F1 B1"],
    (3, 1): ["F0 B0"] * 3,
    (2, 3): ["F0 F1 B0 F2 B1 B2", "F0 B0 F1 B1 F2 B2"],
    (3, 3): ["F0 F1 F2 B0 B1 B2", "F0 F1 B0 F2 B1 B2", "F0 B0 F1 B1 F2 B2"],
    (3, 4): ["F0 F1 F2 B0 F3 B1 B2 B3", "F0 F1 B0 F2 B1 F3 B2 B3", "F0 B0 F1 B1 F2 B2 F3 B3"],
}


def one_f_one_b(p, m):
    """Return the schedule of 1F1B for one of these sizes."""
    return read_schedule(ONE_F_ONE_B[p, m])


@exercise("zero_bubble", aspect="equivalence")
def test_the_two_gradients_of_a_linear_layer(launch):
    """B is autograd's gradient of the input and W that of the weight, for inputs with one, two and three leading dims."""
    assert_gradients(launch, [layer(4), layer(2, 3), layer(2, 1, 3, d_in=2, d_out=6)])


@exercise("zero_bubble", aspect="equivalence")
def test_forward_and_backward_as_in_one_f_one_b(launch):
    """F and B are in the order of 1F1B; each W is behind its B, and soon enough that at most min(m, p) are held."""
    assert_keeps_one_f_one_b(launch, list(ONE_F_ONE_B), one_f_one_b)


@exercise("zero_bubble", aspect="property")
def test_the_only_schedule_that_ends_in_time(launch):
    """With three micro-batches on three devices, a step ends at 11 only if every W is at its one right place."""
    ((_, schedule),) = assert_keeps_one_f_one_b(launch, [(3, 3)], one_f_one_b)
    lines = ["F0 F1 F2 B0 W0 B1 W1 B2 W2", "F0 F1 B0 F2 B1 W0 B2 W1 W2", "F0 B0 F1 B1 F2 B2 W0 W1 W2"]
    assert_same_order(schedule, read_schedule(lines), "zb_h1_schedule(p=3, m=3)")


@exercise("zero_bubble", aspect="robustness")
def test_nothing_to_schedule(launch):
    """No devices or no micro-batches are a ValueError."""
    calls = [{"p": 0, "m": 2}, {"p": 2, "m": 0}, {"p": 1, "m": 1}]
    run = launch(call_each, 1, shared={"function": "zb_h1_schedule", "calls": calls}, process_group=False)
    assert_each_raises(run, "zb_h1_schedule", calls, ["ValueError", "ValueError", ""])
