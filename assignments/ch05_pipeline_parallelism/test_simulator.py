"""Public tests of exercise `simulate`."""

from fractions import Fraction

from assignments.ch05_pipeline_parallelism.references import read_schedule
from assignments.ch05_pipeline_parallelism.references_simulator import assert_simulates
from course_env.communication import Deadlock
from course_env.pipeline import Simulated
from course_env.rank_programs import call_each
from grader.harness import assert_each_raises, exercise

ALONE = read_schedule(["F0 F1 B0 B1"])
TWO = read_schedule(["F0 F1 B0 B1", "F0 B0 F1 B1"])
SPLIT = read_schedule(["F0 F1 B0 W0 B1 W1", "F0 B0 F1 W0 B1 W1"])
LOOPED = read_schedule(["F0 F0/1 B0/1 B0", "F0 F0/1 B0/1 B0"])
STUCK = read_schedule(["F0 B0 F1 B1", "F0 F1 B0 B1", "F1 F0 B0 B1"])


def answer(makespan, bubble, peak, times):
    """Return a result; `times` holds for each device its begins and ends as text, "0-1 2-4"."""
    lists = tuple(tuple(tuple(map(int, span.split("-"))) for span in line.split()) for line in times)
    return Simulated(makespan=makespan, bubble=Fraction(bubble), peak=peak, times=lists)


@exercise("simulate", aspect="equivalence")
def test_when_every_action_runs(launch):
    """On two devices, with and without time on the way, every action begins as soon as it can."""
    calls = [
        {"schedule": ALONE, "t_f": 2, "t_b": 3},
        {"schedule": TWO, "t_f": 1, "t_b": 2},
        {"schedule": TWO, "t_f": 1, "t_b": 2, "t_comm": 1},
    ]
    due = [
        answer(10, "0", (2,), ["0-2 2-4 4-7 7-10"]),
        answer(9, "1/2", (2, 1), ["0-1 1-2 4-6 7-9", "1-2 2-4 4-5 5-7"]),
        answer(11, "5/6", (2, 1), ["0-1 1-2 6-8 9-11", "2-3 3-5 5-6 6-8"]),
    ]
    assert_simulates(launch, calls, due)


@exercise("simulate", aspect="equivalence")
def test_backward_in_two_parts(launch):
    """The stage before waits for B and not for W, and a forward pass is held until its W has ended."""
    calls = [{"schedule": SPLIT, "t_f": 2, "t_b": 2, "t_w": 1}]
    due = [answer(14, "2/5", (2, 2), ["0-2 2-4 6-8 8-9 11-13 13-14", "2-4 4-6 6-8 8-9 9-11 11-12"])]
    assert_simulates(launch, calls, due)


@exercise("simulate", aspect="equivalence")
def test_two_chunks_on_each_device(launch):
    """Chunk c of device d is stage c * p + d: a micro-batch goes round the devices once for each chunk."""
    calls = [{"schedule": schedule, "t_f": 1, "t_b": 2, "t_comm": 1} for schedule in (LOOPED, LOOPED[:1])]
    due = [answer(18, "2", (2, 2), ["0-1 4-5 10-12 16-18", "2-3 6-7 7-9 13-15"])]
    due.append(answer(6, "0", (2,), ["0-1 1-2 2-4 4-6"]))
    assert_simulates(launch, calls, due)


@exercise("simulate", aspect="property")
def test_a_schedule_that_cannot_end(launch):
    """Devices that wait for each other are reported with the index of the action that they wait at."""
    one_ends, backward_first = read_schedule(["F0 W0 B0", "F0 B0 W0"]), read_schedule(["F0 B0", "B0 F0"])
    calls = [{"schedule": schedule, "t_f": 1, "t_b": 1} for schedule in (STUCK, one_ends, backward_first, TWO)]
    due = [Deadlock(blocked=blocked) for blocked in ({0: 1, 1: 1, 2: 0}, {0: 1}, {0: 1, 1: 0})]
    due.append(answer(6, "1/2", (2, 1), ["0-1 1-2 3-4 5-6", "1-2 2-3 3-4 4-5"]))
    assert_simulates(launch, calls, due)


@exercise("simulate", aspect="robustness")
def test_what_is_no_schedule(launch):
    """A missing, doubled or unknown action and a time that is none are ValueErrors."""
    bad = [["F0 B0", "F0 F0 B0"], ["F0 B0", "F0"], ["F0 B0 W0", "F0 B0"], ["F1 B1"], ["F0 F0/1 B0"], ["F0 B0 X0"], []]
    calls = [{"schedule": read_schedule(lines), "t_f": 1, "t_b": 1} for lines in bad]
    good = {"schedule": TWO, "t_f": 1, "t_b": 1}
    calls += [good | {name: time} for name, time in (("t_f", 0), ("t_b", 0), ("t_w", -1), ("t_comm", -1))]
    run = launch(call_each, 1, shared={"function": "simulate", "calls": [*calls, good]}, process_group=False)
    assert_each_raises(run, "simulate", [*calls, good], ["ValueError"] * len(calls) + [""])
