"""The lesson of chapter 5: its numbers and formulas are right."""

from fractions import Fraction

import pytest

from assignments.ch05_pipeline_parallelism import test_pipeline_runner as tests_of_runner
from course_env.pipeline import action_text
from grader.harness.comm.picture.spans import read_ideal
from solutions.ch05_pipeline_parallelism.interleaved import interleaved_1f1b_schedule
from solutions.ch05_pipeline_parallelism.schedules import gpipe_schedule, one_f_one_b_schedule
from solutions.ch05_pipeline_parallelism.simulator import simulate
from solutions.ch05_pipeline_parallelism.zero_bubble import zb_h1_schedule
from tests.lessons.lesson import read_lesson

LESSON = read_lesson(5)
MB, MILLION = 1e6, 1e6
GPT2_PARAMETERS, GPT2_VOCAB, GPT2_WIDTH = 124_439_808, 50_257, 768
P, M = 4, 8

# A piece of the lesson with its numbers left out, and the numbers.
WORKED = (
    ("in bfloat16 that is {:.1f} MB each way", [2 * 2048 * 12_288 / MB]),
    (
        "With $p = 4$ and $m = 8$ the bubble is {:.1f} %, and devices are idle {:.1f} % of the time",
        [100 * (P - 1) / M, 100 * (P - 1) / (M + P - 1)],
    ),
    ("the head is worth {:.1f} blocks", [GPT2_VOCAB * GPT2_WIDTH / (12 * GPT2_WIDTH**2)]),
    (
        "GPT-2 then has {:.1f} million parameters instead of {:.1f}",
        [(GPT2_PARAMETERS + GPT2_VOCAB * GPT2_WIDTH) / MILLION, GPT2_PARAMETERS / MILLION],
    ),
    ("in float32 that is {:.0f} MB", [4 * GPT2_VOCAB * GPT2_WIDTH / MB]),
    ("the ranks send {}, {}, {} and {} bytes", [n * 8 * 2 * 8 * 8 for n in (1, 2, 2, 1)]),
    ("makes 1F1B's bubble {} % at most", [25]),
)


@pytest.mark.parametrize(("words", "numbers"), WORKED, ids=[words[:30] for words, _ in WORKED])
def test_a_worked_number_is_right(words, numbers):
    """A number in the text is what its formula gives, to the digits shown."""
    LESSON.says(words, numbers)


def test_the_schedules_take_what_the_figures_say():
    """1F1B 33, interleaved 28.5, ZB-H1 27 units, with a backward pass twice as long as a forward pass."""
    ends = [simulate(build(P, M), t_f=1, t_b=2).makespan for build in (gpipe_schedule, one_f_one_b_schedule)]
    assert ends == [33, 33]
    assert simulate(interleaved_1f1b_schedule(P, 2, M), t_f=1, t_b=2).makespan == 57
    assert simulate(zb_h1_schedule(P, M), t_f=1, t_b=1, t_w=1).makespan == 27
    LESSON.says("a step ends at {} where 1F1B, with a backward pass of 2, ends at {}", [27, 33])


def test_closed_forms_of_every_size():
    """Of 2 to 8 devices, 1 to 4 chunks and 1 to 16 micro-batches, time, bubble and memory are those of the lesson."""
    for p in range(2, 9):
        for m in range(1, 17):
            gpipe, flush = (simulate(build(p, m), t_f=2, t_b=3) for build in (gpipe_schedule, one_f_one_b_schedule))
            assert gpipe.makespan == flush.makespan == (m + p - 1) * 5
            assert gpipe.bubble == flush.bubble == Fraction(p - 1, m)
            assert (gpipe.peak, flush.peak) == ((m,) * p, tuple(min(m, p - d) for d in range(p)))
            split = simulate(zb_h1_schedule(p, m), t_f=1, t_b=1, t_w=1)
            assert (split.makespan, max(split.peak)) == (2 * m + p - 1 + max(m, p), min(m, p))
            for v in range(1, 5) if m % p == 0 else ():
                looped = simulate(interleaved_1f1b_schedule(p, v, m), t_f=2, t_b=3)
                assert looped.bubble == Fraction(p - 1, v * m)
                assert looped.peak == tuple(min(v * m, 2 * (p - d - 1) + (v - 1) * p + 1) for d in range(p))


@pytest.mark.parametrize(("t_f", "t_b", "t_w"), [(1, 1, 1), (2, 2, 1), (3, 4, 2), (1, 2, 1)])
def test_the_bubble_of_zero_bubble(t_f, t_b, t_w):
    """Where B is not shorter than W, and there are micro-batches enough, ZB-H1's bubble is (p - 1)(t_F + t_B - t_W)."""
    for p, m in ((4, 8), (3, 9), (6, 16)):
        idle = simulate(zb_h1_schedule(p, m), t_f=t_f, t_b=t_b, t_w=t_w).makespan - m * (t_f + t_b + t_w)
        assert idle == (p - 1) * (t_f + t_b - t_w)


def test_w_is_d_micro_batches_behind_b():
    """On device d, W of micro-batch i comes next after B of micro-batch i + d."""
    for device, actions in enumerate(zb_h1_schedule(P, M)):
        for i in range(M - device):
            assert actions[actions.index(("B", i + device, 0)) + 1] == ("W", i, 0)


def test_the_limits_of_a_delayed_step():
    """Descent with a delay of one is stable up to a rate of 1 / curvature, without a delay up to 2 / curvature."""
    source = next(listing.source for listing in LESSON.listings if listing.name == "delay.py").partition(
        "\n\n\nfor rate"
    )[0]
    names = {}
    exec(source, names)
    steps = names["steps_until_small"]
    assert [steps(rate, 1) is None for rate in (0.95, 1.05)] == [False, True]
    assert [steps(rate, 0) is None for rate in (1.95, 2.05)] == [False, True]


@pytest.mark.parametrize(
    ("schedule", "ideal", "times"),
    [
        (tests_of_runner.ONE_F_ONE_B, tests_of_runner.IDEAL_1F1B, (1, 2)),
        (tests_of_runner.INTERLEAVED, tests_of_runner.IDEAL_INTERLEAVED, (1, 2)),
        (tests_of_runner.SPLIT, tests_of_runner.IDEAL_SPLIT, (1, 1, 1)),
        (tests_of_runner.two_devices(12), tests_of_runner.ideal_of_two(12), (1, 2)),
    ],
    ids=["1f1b", "interleaved", "split", "two devices"],
)
def test_ideal_schedules_are_what_the_simulator_says(schedule, ideal, times):
    """The ideal schedules that `course show` draws begin and end each action when the simulator says."""
    due = [
        (rank, action_text(action), *time)
        for rank, (actions, ran) in enumerate(zip(schedule, simulate(schedule, *times).times, strict=True))
        for action, time in zip(actions, ran, strict=True)
    ]
    assert [(step.rank, step.text, step.begin, step.end) for step in read_ideal(ideal)] == due
