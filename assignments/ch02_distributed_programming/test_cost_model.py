"""Public tests of exercise `cost_model`: small cases that can be checked by hand."""

import pytest

from assignments.ch02_distributed_programming import programs
from grader.harness import assert_matches

exercise = pytest.mark.exercise

# For n = 4 and n = 5 and a buffer of 1001 bytes: all messages, all bytes, rounds, bytes of one message.
BY_HAND = {
    ("root", 4): (6, 6006, 6, 1001),
    ("all_to_all", 4): (12, 12012, 3, 1001),
    ("ring", 4): (24, 24 * 251, 6, 251),
    ("tree", 4): (6, 6006, 4, 1001),
    ("recursive_doubling", 4): (8, 8008, 2, 1001),
    ("root", 5): (8, 8008, 8, 1001),
    ("all_to_all", 5): (20, 20020, 4, 1001),
    ("ring", 5): (40, 40 * 201, 8, 201),
    ("tree", 5): (8, 8008, 6, 1001),
    ("recursive_doubling", 5): (10, 10010, 4, 1001),
}
ALPHA, BETA = 5e-6, 1e-10  # 5 microseconds, 10 GB/s


@exercise("cost_model", aspect="equivalence")
def test_messages_and_bytes_of_all_ranks(launch):
    """The traffic of each algorithm is counted over all ranks, padding included."""
    calls = [{"algo": algo, "n": n, "nbytes": 1001} for algo, n in BY_HAND]
    run = launch(programs.call_each, 1, shared={"function": "messages_and_bytes", "calls": calls}, process_group=False)
    assert_matches(run["values"], [case[:2] for case in BY_HAND.values()])


@exercise("cost_model", aspect="equivalence")
def test_the_time_is_one_message_per_round(launch):
    """Messages of one round overlap, rounds do not: the time is rounds * (alpha + beta * bytes of a message)."""
    calls = [{"algo": algo, "n": n, "nbytes": 1001, "alpha": ALPHA, "beta": BETA} for algo, n in BY_HAND]
    run = launch(programs.call_each, 1, shared={"function": "allreduce_time", "calls": calls}, process_group=False)
    for (algo, n), (_, _, rounds, size), found in zip(BY_HAND, BY_HAND.values(), run["values"][0], strict=True):
        assert found == pytest.approx(rounds * (ALPHA + BETA * size), rel=1e-9), f"{algo} with {n} ranks"


@exercise("cost_model", aspect="property")
@pytest.mark.parametrize(
    ("nbytes", "best"), [(0, "recursive_doubling"), (100_000, "recursive_doubling"), (10**8, "ring")]
)
def test_the_best_algorithm_depends_on_the_size(student, nbytes, best):
    """Few rounds win while latency counts, few bytes win when bandwidth does."""
    assert student.best_algo(8, nbytes, alpha=ALPHA, beta=BETA) == best


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
    assert student.crossover_bytes(algo_a, algo_b, 8, alpha=ALPHA, beta=BETA) == expected


@exercise("cost_model", aspect="robustness")
def test_one_rank_alone_sends_nothing(student):
    """With one rank there is no message, and no time passes."""
    assert_matches(student.messages_and_bytes("ring", 1, 100), (0, 0))
    assert student.allreduce_time("recursive_doubling", 1, 100, alpha=ALPHA, beta=BETA) == 0


@exercise("cost_model", aspect="robustness")
def test_impossible_arguments_are_refused(launch):
    """An unknown algorithm, a world without ranks and a negative size raise ValueError."""
    calls = [
        {"algo": "butterfly", "n": 4, "nbytes": 8},
        {"algo": "ring", "n": 0, "nbytes": 8},
        {"algo": "ring", "n": 4, "nbytes": -1},
    ]
    run = launch(programs.call_each, 1, shared={"function": "messages_and_bytes", "calls": calls}, process_group=False)
    assert all(run["errors"][0]), f"Errors of the three calls: {run['errors'][0]}"
