"""Public tests of exercise `cost_model`: small cases that can be checked by hand."""

import pytest
import torch

from course_env.rank_programs import call_each
from grader.harness import assert_each_raises, assert_each_returns, assert_returns, exercise

# For n = 4 and n = 5: all messages, rounds, and into how many pieces the buffer is cut.
BY_HAND = {
    ("root", 4): (6, 6, 1),
    ("all_to_all", 4): (12, 3, 1),
    ("ring", 4): (24, 6, 4),
    ("tree", 4): (6, 4, 1),
    ("recursive_doubling", 4): (8, 2, 1),
    ("root", 5): (8, 8, 1),
    ("all_to_all", 5): (20, 4, 1),
    ("ring", 5): (40, 8, 5),
    ("tree", 5): (8, 6, 1),
    ("recursive_doubling", 5): (10, 4, 1),
}
ALPHA, BETA = 5e-6, 1e-10  # 5 microseconds, 10 GB/s


def drawn_sizes():
    """Return a buffer size for each case; few of them can be divided by n."""
    return [int(torch.randint(1, 10**6, ())) for _ in BY_HAND]


@exercise("cost_model", aspect="equivalence")
def test_messages_and_bytes_of_all_ranks(launch):
    """The traffic of each algorithm is counted over all ranks, padding included."""
    sizes = drawn_sizes()
    calls = [{"algo": algo, "n": n, "nbytes": size} for (algo, n), size in zip(BY_HAND, sizes, strict=True)]
    run = launch(call_each, 1, shared={"function": "messages_and_bytes", "calls": calls}, process_group=False)
    due = list(zip(sizes, BY_HAND.values(), strict=True))
    expected = [(messages, messages * -(-size // pieces)) for size, (messages, _, pieces) in due]
    mistakes = {
        "the bytes of chunks that are rounded down, where the last ones are padded": [
            (messages, messages * (size // pieces)) for size, (messages, _, pieces) in due
        ],
        "what one rank sends, where all ranks together are counted": [
            (messages // n, messages // n * -(-size // pieces))
            for (_, n), (size, (messages, _, pieces)) in zip(BY_HAND, due, strict=True)
        ],
    }
    assert_each_returns(run, "messages_and_bytes", calls, expected, mistakes=mistakes)


@exercise("cost_model", aspect="equivalence")
def test_the_time_is_one_message_per_round(launch):
    """Messages of one round overlap, rounds do not: the time is rounds * (alpha + beta * bytes of a message)."""
    alpha, beta, sizes = ALPHA * float(1 + torch.rand(())), BETA * float(1 + torch.rand(())), drawn_sizes()
    calls = [
        {"algo": algo, "n": n, "nbytes": size, "alpha": alpha, "beta": beta}
        for (algo, n), size in zip(BY_HAND, sizes, strict=True)
    ]
    run = launch(call_each, 1, shared={"function": "allreduce_time", "calls": calls}, process_group=False)
    due = list(zip(sizes, BY_HAND.values(), strict=True))
    expected = [rounds * (alpha + beta * -(-size // pieces)) for size, (_, rounds, pieces) in due]
    mistakes = {
        "the time of all messages one after another, where those of one round travel side by side": [
            messages * (alpha + beta * -(-size // pieces)) for size, (messages, _, pieces) in due
        ],
        "chunks are rounded down, where the last ones are padded": [
            rounds * (alpha + beta * (size // pieces)) for size, (_, rounds, pieces) in due
        ],
        "the root handles its messages at once, where it handles one at a time": [
            (2 if algo == "root" else rounds) * (alpha + beta * -(-size // pieces))
            for (algo, _), (size, (_, rounds, pieces)) in zip(BY_HAND, due, strict=True)
        ],
    }
    assert_each_returns(run, "allreduce_time", calls, expected, mistakes=mistakes)


@exercise("cost_model", aspect="property")
@pytest.mark.parametrize(
    ("nbytes", "best"), [(0, "recursive_doubling"), (100_000, "recursive_doubling"), (10**8, "ring")]
)
def test_the_best_algorithm_depends_on_the_size(student, nbytes, best):
    """Few rounds win while latency counts, few bytes win when bandwidth does."""
    assert_returns(student.best_algo, {"n": 8, "nbytes": nbytes, "alpha": ALPHA, "beta": BETA}, best)


@exercise("cost_model", aspect="property")
def test_among_equals_the_first_algorithm_is_best(student):
    """On two ranks all_to_all and recursive_doubling are one and the same exchange; alone, all algorithms cost nothing."""
    cost = {"nbytes": 100, "alpha": ALPHA, "beta": BETA}
    why = "among equally fast algorithms the first in ALGORITHMS is due"
    assert_returns(student.best_algo, {"n": 2, **cost}, "all_to_all", why=why)
    assert_returns(student.best_algo, {"n": 1, **cost}, "root", why=why)


@exercise("cost_model", aspect="property")
@pytest.mark.parametrize(
    ("algo_a", "algo_b", "expected"),
    [
        ("recursive_doubling", "ring", 440_005),  # at 440 000 bytes they are even, and padding delays the ring
        ("root", "tree", 0),
        ("ring", "root", None),
    ],
)
def test_the_crossover_is_found_to_the_byte(student, algo_a, algo_b, expected):
    """The crossover is the first size at which the second algorithm is strictly faster, None if there is none."""
    mistakes = {
        "the size at which both take the same time, where the second must be strictly faster": 440_000,
        "a multiple of n, as if only those sizes were asked about": 440_008,
    }
    arguments = {"algo_a": algo_a, "algo_b": algo_b, "n": 8, "alpha": ALPHA, "beta": BETA}
    assert_returns(student.crossover_bytes, arguments, expected, mistakes=mistakes)


@exercise("cost_model", aspect="robustness")
def test_one_rank_alone_sends_nothing(student):
    """With one rank there is no message, and no time passes."""
    for algo in sorted({algo for algo, _ in BY_HAND}):
        assert_returns(student.messages_and_bytes, {"algo": algo, "n": 1, "nbytes": 100}, (0, 0))
        cost = {"alpha": ALPHA, "beta": BETA}
        assert_returns(student.allreduce_time, {"algo": algo, "n": 1, "nbytes": 100, **cost}, 0.0)


@exercise("cost_model", aspect="robustness")
def test_impossible_arguments_are_refused(launch):
    """An unknown algorithm, a world without ranks and a negative size raise ValueError; one rank and no byte are fine."""
    calls = [
        {"algo": "butterfly", "n": 4, "nbytes": 8},
        {"algo": "ring", "n": 0, "nbytes": 8},
        {"algo": "ring", "n": 4, "nbytes": -1},
        {"algo": "ring", "n": 1, "nbytes": 0},
    ]
    run = launch(call_each, 1, shared={"function": "messages_and_bytes", "calls": calls}, process_group=False)
    assert_each_raises(run, "messages_and_bytes", calls, ["ValueError"] * 3 + [""])
