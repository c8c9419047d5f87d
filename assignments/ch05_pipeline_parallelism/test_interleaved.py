"""Public tests of exercise `interleaved`."""

from assignments.ch05_pipeline_parallelism.references import in_flight, read_schedule
from assignments.ch05_pipeline_parallelism.references_interleaved import assert_interleaved
from course_env.rank_programs import call_each
from grader.harness import assert_each_raises, exercise

# F3/1 is the forward pass of micro-batch 3 through chunk 1, F3 that through chunk 0.
TWO_DEVICES = (
    "F0 F1 F0/1 F1/1 F2 B0/1 F3 B1/1 F2/1 B0 F3/1 B1 B2/1 B3/1 B2 B3",
    "F0 F1 F0/1 B0/1 F1/1 B1/1 F2 B0 F3 B1 F2/1 B2/1 F3/1 B3/1 B2 B3",
)
THREE_DEVICES = (
    "F0 F1 F2 F0/1 F1/1 F2/1 B0/1 B1/1 B2/1 B0 B1 B2",
    "F0 F1 F2 F0/1 F1/1 F2/1 B0/1 B1/1 B2/1 B0 B1 B2",
    "F0 F1 F2 F0/1 B0/1 F1/1 B1/1 F2/1 B2/1 B0 B1 B2",
)


@exercise("interleaved", aspect="equivalence")
def test_two_chunks_on_each_device(launch):
    """Rounds of p micro-batches go through chunk 0, then through chunk 1, and backward through chunk 1 first."""
    assert_interleaved(launch, [(2, 2, 4)], [read_schedule(TWO_DEVICES)])


@exercise("interleaved", aspect="property")
def test_what_each_device_holds(launch):
    """Device d holds at most 2 (p - d - 1) + (v - 1) p + 1 passes through one of its chunks."""
    (schedule,) = assert_interleaved(launch, [(2, 2, 4)], [read_schedule(TWO_DEVICES)])
    assert [in_flight(actions) for actions in schedule] == [5, 3]


@exercise("interleaved", aspect="robustness")
def test_one_round_only(launch):
    """With as many micro-batches as devices, forward passes may end before the first device goes backward."""
    assert_interleaved(launch, [(3, 2, 3), (1, 1, 2)], [read_schedule(THREE_DEVICES), read_schedule(["F0 B0 F1 B1"])])


@exercise("interleaved", aspect="robustness")
def test_what_cannot_be_interleaved(launch):
    """A size below 1, and micro-batches that the devices do not divide, are ValueErrors."""
    sizes = [(0, 2, 2), (2, 0, 2), (2, 2, 0), (2, 2, 3), (4, 2, 2), (2, 2, 2)]
    calls = [{"p": p, "v": v, "m": m} for p, v, m in sizes]
    name = "interleaved_1f1b_schedule"
    run = launch(call_each, 1, shared={"function": name, "calls": calls}, process_group=False)
    assert_each_raises(run, name, calls, ["ValueError"] * 5 + [""])
