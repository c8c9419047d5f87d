"""Public tests of exercise `schedules`."""

from assignments.ch05_pipeline_parallelism.references import in_flight, read_schedule
from assignments.ch05_pipeline_parallelism.references_schedules import assert_gpipe, assert_one_f_one_b
from course_env.rank_programs import call_each
from grader.harness import assert_each_raises, exercise

FOUR_DEVICES = (
    "F0 F1 F2 F3 B0 F4 B1 F5 B2 B3 B4 B5",
    "F0 F1 F2 B0 F3 B1 F4 B2 F5 B3 B4 B5",
    "F0 F1 B0 F2 B1 F3 B2 F4 B3 F5 B4 B5",
    "F0 B0 F1 B1 F2 B2 F3 B3 F4 B4 F5 B5",
)


@exercise("schedules", aspect="equivalence")
def test_gpipe_runs_all_forward_passes_first(launch):
    """Every device has all forward passes in order, then all backward passes, in one order for all devices."""
    assert_gpipe(launch, [(2, 3), (4, 8), (1, 2)])


@exercise("schedules", aspect="equivalence")
def test_one_f_one_b_alternates(launch):
    """Device d runs p - d forward passes, then one backward and one forward in turn, then what is left."""
    assert_one_f_one_b(launch, [(4, 6), (1, 2)], [read_schedule(FOUR_DEVICES), read_schedule(["F0 B0 F1 B1"])])


@exercise("schedules", aspect="property")
def test_what_each_device_holds(launch):
    """GPipe holds all m micro-batches on every device, 1F1B no more than p - d on device d."""
    (gpipe,) = assert_gpipe(launch, [(4, 6)])
    (one_f_one_b,) = assert_one_f_one_b(launch, [(4, 6)], [read_schedule(FOUR_DEVICES)])
    assert [in_flight(actions) for actions in gpipe] == [6] * 4
    assert [in_flight(actions) for actions in one_f_one_b] == [4, 3, 2, 1]


@exercise("schedules", aspect="robustness")
def test_fewer_micro_batches_than_devices(launch):
    """With one or two micro-batches on three devices, each is passed forward and backward once on every device."""
    assert_gpipe(launch, [(3, 1), (3, 2)])
    one, two = ["F0 B0"] * 3, ["F0 F1 B0 B1", "F0 F1 B0 B1", "F0 B0 F1 B1"]
    assert_one_f_one_b(launch, [(3, 1), (3, 2)], [read_schedule(one), read_schedule(two)])


@exercise("schedules", aspect="robustness")
def test_nothing_to_schedule(launch):
    """No devices or no micro-batches are a ValueError."""
    calls = [{"p": 0, "m": 2}, {"p": 2, "m": 0}, {"p": -1, "m": 1}, {"p": 1, "m": 1}]
    for function in ("gpipe_schedule", "one_f_one_b_schedule"):
        run = launch(call_each, 1, shared={"function": function, "calls": calls}, process_group=False)
        assert_each_raises(run, function, calls, ["ValueError"] * 3 + [""])
