"""Public tests of exercise `pipeline_runner`."""

from assignments.ch05_pipeline_parallelism import programs_pipeline_runner as programs
from assignments.ch05_pipeline_parallelism.references import read_schedule
from assignments.ch05_pipeline_parallelism.references_pipeline_runner import (
    assert_edges,
    assert_flat_memory,
    assert_holds,
    assert_order,
    assert_runs,
    assert_unchanged_and_plain,
    launch_runs,
)
from course_env.rank_programs import error_types
from grader.harness import exercise

GPIPE = read_schedule(["F0 F1 F2 F3 B0 B1 B2 B3"] * 3)
ONE_F_ONE_B = read_schedule(["F0 F1 F2 B0 F3 B1 B2 B3", "F0 F1 B0 F2 B1 F3 B2 B3", "F0 B0 F1 B1 F2 B2 F3 B3"])
INTERLEAVED = read_schedule(
    [
        "F0 F1 F0/1 F1/1 F2 B0/1 F3 B1/1 F2/1 B0 F3/1 B1 B2/1 B3/1 B2 B3",
        "F0 F1 F0/1 B0/1 F1/1 B1/1 F2 B0 F3 B1 F2/1 B2/1 F3/1 B3/1 B2 B3",
    ]
)
SPLIT = read_schedule(["F0 F1 F2 B0 W0 B1 W1 B2 W2", "F0 F1 B0 F2 B1 W0 B2 W1 W2", "F0 B0 F1 B1 F2 B2 W0 W1 W2"])
# The same on a time axis, for `course show`: F takes 1, and B takes 2, or B and W take 1 each.
IDEAL_1F1B = (
    "F0 F1 F2 . . . . B0 - F3 B1 - . B2 - . B3 -",
    ". F0 F1 . . B0 - F2 B1 - F3 B2 - . B3 - . .",
    ". . F0 B0 - F1 B1 - F2 B2 - F3 B3 - . . . .",
)
IDEAL_INTERLEAVED = (
    "F0 F1 F0/1 F1/1 F2 . B0/1 - F3 B1/1 - F2/1 B0 - F3/1 B1 - . B2/1 - . B3/1 - B2 - B3 -",
    ". F0 F1 F0/1 B0/1 - F1/1 B1/1 - F2 B0 - F3 B1 - F2/1 B2/1 - F3/1 B3/1 - B2 - B3 - . .",
)
IDEAL_SPLIT = (
    "F0 F1 F2 . . B0 W0 B1 W1 B2 W2",
    ". F0 F1 . B0 F2 B1 W0 B2 W1 W2",
    ". . F0 B0 F1 B1 F2 B2 W0 W1 W2",
)
DEEP = ((32,) * 49,) * 2  # 48 layers, 3 MiB of activations for a pass of 256 rows
UNEVEN = ((4, 7, 4), (4, 4), (4, 6, 5, 4))  # two layers, one layer, three


def two_devices(m):
    """Return the 1F1B schedule of two devices."""
    pairs = " ".join(f"F{i + 1} B{i}" for i in range(m - 1))
    return read_schedule([f"F0 {pairs} B{m - 1}", " ".join(f"F{i} B{i}" for i in range(m))])


def ideal_of_two(m):
    """Return the same schedule on a time axis."""
    pairs = " ".join(f"F{i + 2} B{i + 1} -" for i in range(m - 2))
    return (f"F0 F1 . . B0 - {pairs} . B{m - 1} -", f". {' '.join(f'F{i} B{i} -' for i in range(m))} . .")


@exercise("pipeline_runner", aspect="equivalence")
def test_losses_and_gradients_are_those_of_one_process(launch):
    """One runner runs 1F1B and then GPipe on three uneven stages: losses and gradients are those of the whole model."""
    run, _, results = launch_runs(launch, UNEVEN, [ONE_F_ONE_B, GPIPE], m=4)
    assert_runs(run, results, 3)
    assert_unchanged_and_plain(run)


@exercise("pipeline_runner", aspect="equivalence")
def test_two_chunks_on_each_rank(launch):
    """Interleaved 1F1B on two ranks with two stages each has the losses and gradients of the whole model."""
    model = ((4, 4), (4, 6, 4), (4, 5, 4), (4, 4))
    run, _, results = launch_runs(launch, model, [INTERLEAVED], m=4, ideal=IDEAL_INTERLEAVED)
    assert_runs(run, results, 2)


@exercise("pipeline_runner", aspect="equivalence")
def test_backward_in_two_parts(launch):
    """A schedule with W computes the weights' gradients in W and nowhere else, and they are those of the whole model."""
    run, runs, results = launch_runs(launch, UNEVEN, [SPLIT], m=3, marked=True, ideal=IDEAL_SPLIT)
    assert_order(run, runs, 3)
    assert_runs(run, results, 3)


@exercise("pipeline_runner", aspect="property")
def test_passes_run_in_the_order_of_the_schedule(launch):
    """Every rank runs exactly its actions, in order: each pass has a factor, which another order would give to another."""
    run, runs, results = launch_runs(launch, UNEVEN, [GPIPE, ONE_F_ONE_B], m=4, marked=True)
    assert_order(run, runs, 3)
    assert_runs(run, results, 3)


@exercise("pipeline_runner", aspect="property")
def test_messages_and_bytes_of_each_edge(launch):
    """Neighbouring stages exchange one message per micro-batch and direction, of one activation, and nothing else."""
    run, _, results = launch_runs(launch, UNEVEN, [ONE_F_ONE_B], m=4, ideal=IDEAL_1F1B)
    assert_edges(run.comm, 3, 3, 4, num_bytes=2 * 4 * 8)
    assert_runs(run, results, 3)


@exercise("pipeline_runner", aspect="property")
def test_memory_is_that_of_the_schedule(launch):
    """Running 1F1B, rank d never has more than p - d forward passes in memory, however many micro-batches there are."""
    short, long = (two_devices(m) for m in (2, 12))
    few, _, _ = launch_runs(launch, DEEP, [short], m=2, rows=256)
    many, _, results = launch_runs(launch, DEEP, [long], m=12, rows=256, ideal=ideal_of_two(12))
    assert_holds(many, long)
    assert_flat_memory(few, many, long)
    assert_runs(many, results, 2)


@exercise("pipeline_runner", aspect="robustness")
def test_fewer_micro_batches_than_stages(launch):
    """One micro-batch runs through three stages, of which one has no parameters."""
    schedule = read_schedule(["F0 B0"] * 3)
    run, _, results = launch_runs(launch, ((4, 4), (4,), (4, 5, 4)), [schedule, schedule], m=1)
    assert_runs(run, results, 3)


@exercise("pipeline_runner", aspect="robustness")
def test_a_schedule_for_another_pipeline(launch):
    """A schedule for another number of devices or chunks is a ValueError; one that fits is run."""
    schedules = [
        ONE_F_ONE_B,
        read_schedule(["F0 B0"] * 2),
        INTERLEAVED,
        read_schedule(["F0 F0/1 F0/2 B0/2 B0/1 B0"] * 2),
    ]
    run = launch(programs.refuse, 2, shared={"schedules": schedules, "num_chunks": 2})
    for rank, errors in enumerate(run["errors"]):
        assert error_types(errors) == ["ValueError", "ValueError", "", "ValueError"], (
            f"On rank {rank} of 2, with 2 chunks, schedules for 3 devices, 1 chunk, 2 chunks and 3 chunks ended with {errors}."
        )
