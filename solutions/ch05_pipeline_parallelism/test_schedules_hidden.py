"""Hidden tests of exercise `schedules`."""

import pytest

from assignments.ch05_pipeline_parallelism.references import schedules_of, text_of, torchs_schedule
from assignments.ch05_pipeline_parallelism.references_schedules import assert_gpipe, assert_one_f_one_b
from grader.harness import exercise
from solutions.ch05_pipeline_parallelism.simulator import simulate

SIZES = [(p, m) for p in range(2, 9) for m in range(1, 17)]


def one_f_one_b(p, m):
    """Return the 1F1B schedule, found by counting: a device goes backward as soon as it holds all that it may."""
    schedule = []
    for device in range(p):
        actions, begun, ended = [], 0, 0
        while ended < m:
            goes_back = begun - ended == p - device or begun == m
            actions.append(("B", ended, 0) if goes_back else ("F", begun, 0))
            begun, ended = begun + (not goes_back), ended + goes_back
        schedule.append(tuple(actions))
    return tuple(schedule)


@exercise("schedules", aspect="equivalence")
def test_every_size(launch):
    """For 2 to 8 devices and 1 to 16 micro-batches, both schedules are the ones that are due."""
    assert_gpipe(launch, SIZES)
    assert_one_f_one_b(launch, SIZES, [one_f_one_b(p, m) for p, m in SIZES])


@exercise("schedules", aspect="property")
def test_time_and_memory_of_every_size(launch):
    """Simulated, both take (m + p - 1)(t_f + t_b); GPipe holds m micro-batches, 1F1B min(m, p - d) on device d."""
    calls = [{"p": p, "m": m} for p, m in SIZES]
    held = {
        "gpipe_schedule": lambda p, m: (m,) * p,
        "one_f_one_b_schedule": lambda p, m: tuple(min(m, p - device) for device in range(p)),
    }
    for function, peak in held.items():
        found = schedules_of(launch, function, calls)
        for (call, value), (p, m) in zip(found, SIZES, strict=True):
            simulated = simulate(value, t_f=2, t_b=3)
            assert getattr(simulated, "makespan", None) == (m + p - 1) * 5, f"{call} takes too long: {simulated}"
            assert simulated.peak == peak(p, m), f"{call} holds {simulated.peak} micro-batches, {peak(p, m)} are due"


@exercise("schedules", aspect="equivalence")
@pytest.mark.parametrize(("p", "m"), [(4, 8), (3, 5)])
def test_the_orders_of_pytorch(launch, p, m):
    """The orders are those of torch.distributed.pipelining."""
    calls = [{"p": p, "m": m}]
    ((_, gpipe),) = schedules_of(launch, "gpipe_schedule", calls)
    ((_, one_f_one_b),) = schedules_of(launch, "one_f_one_b_schedule", calls)
    theirs = torchs_schedule("ScheduleGPipe", p, 1, m)
    backward_reversed = tuple((*actions[:m], *reversed(actions[m:])) for actions in theirs)
    assert gpipe in (theirs, backward_reversed), f"PyTorch's GPipe runs {text_of(theirs[0])} on every device"
    # torch 2.13 lists the last stage of 1F1B off by one micro-batch, and runs it as it should.
    for device, (actions, right) in enumerate(
        zip(one_f_one_b[:-1], torchs_schedule("Schedule1F1B", p, 1, m), strict=False)
    ):
        assert actions == right, f"PyTorch's 1F1B runs {text_of(right)} on device {device} of {p}"
