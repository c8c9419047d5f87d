"""Hidden tests of exercise `interleaved`."""

import pytest

from assignments.ch05_pipeline_parallelism.references import schedules_of, text_of, torchs_schedule
from assignments.ch05_pipeline_parallelism.references_interleaved import assert_interleaved
from grader.harness import exercise
from solutions.ch05_pipeline_parallelism.simulator import simulate

SIZES = [(p, v, m) for p in range(2, 9) for v in range(1, 5) for m in range(p, 17, p)]


def by_number(p, v, m):
    """Return the schedule by the formulas for the k-th pass, forward and backward."""
    schedule = []
    for device in range(p):
        num_ahead = min(m * v, 2 * (p - device - 1) + (v - 1) * p)
        actions = []
        for k in range(m * v + num_ahead):
            for kind, number in (("F", k), ("B", k - num_ahead)):
                if 0 <= number < m * v:
                    chunk = number % (p * v) // p
                    micro_batch = number // (p * v) * p + number % p
                    actions.append((kind, micro_batch, chunk if kind == "F" else v - 1 - chunk))
        schedule.append(tuple(actions))
    return tuple(schedule)


@exercise("interleaved", aspect="equivalence")
def test_every_size(launch):
    """For 2 to 8 devices, 1 to 4 chunks and up to 16 micro-batches, the schedule is the one that is due."""
    assert_interleaved(launch, SIZES, [by_number(*size) for size in SIZES])


@exercise("interleaved", aspect="property")
def test_time_and_memory_of_every_size(launch):
    """Simulated, a step takes (m v + p - 1)(t_f + t_b), and device d holds min(m v, 2 (p - d - 1) + (v - 1) p + 1) passes."""
    found = schedules_of(launch, "interleaved_1f1b_schedule", [{"p": p, "v": v, "m": m} for p, v, m in SIZES])
    for (call, value), (p, v, m) in zip(found, SIZES, strict=True):
        simulated = simulate(value, t_f=2, t_b=3)
        assert getattr(simulated, "makespan", None) == (m * v + p - 1) * 5, f"{call} takes too long: {simulated}"
        peak = tuple(min(m * v, 2 * (p - device - 1) + (v - 1) * p + 1) for device in range(p))
        assert simulated.peak == peak, f"{call} holds {simulated.peak} passes, {peak} are due"


@exercise("interleaved", aspect="equivalence")
@pytest.mark.parametrize(("p", "v", "m"), [(4, 2, 8), (3, 3, 3), (2, 4, 6)])
def test_the_order_of_pytorch(launch, p, v, m):
    """The order is that of ScheduleInterleaved1F1B in torch.distributed.pipelining."""
    ((_, schedule),) = schedules_of(launch, "interleaved_1f1b_schedule", [{"p": p, "v": v, "m": m}])
    for device, right in enumerate(torchs_schedule("ScheduleInterleaved1F1B", p, v, m)):
        assert schedule[device] == right, f"PyTorch runs {text_of(right)} on device {device}"
