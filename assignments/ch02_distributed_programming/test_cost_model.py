"""Public tests of exercise `cost_model`: small cases that can be checked by hand."""

import pytest
import torch

from course_env.rank_programs import call_each
from grader.harness import assert_matches, exercise

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
    for call, size, (messages, _, pieces), found in zip(calls, sizes, BY_HAND.values(), run["values"][0], strict=True):
        assert found == (messages, messages * -(-size // pieces)), f"messages_and_bytes(**{call}) is {found}"


@exercise("cost_model", aspect="equivalence")
def test_the_time_is_one_message_per_round(launch):
    """Messages of one round overlap, rounds do not: the time is rounds * (alpha + beta * bytes of a message)."""
    alpha, beta, sizes = ALPHA * float(1 + torch.rand(())), BETA * float(1 + torch.rand(())), drawn_sizes()
    calls = [
        {"algo": algo, "n": n, "nbytes": size, "alpha": alpha, "beta": beta}
        for (algo, n), size in zip(BY_HAND, sizes, strict=True)
    ]
    run = launch(call_each, 1, shared={"function": "allreduce_time", "calls": calls}, process_group=False)
    for call, size, (_, rounds, pieces), found in zip(calls, sizes, BY_HAND.values(), run["values"][0], strict=True):
        expected = rounds * (alpha + beta * -(-size // pieces))
        assert found == pytest.approx(expected, rel=1e-9), f"allreduce_time(**{call}) is {found}"


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
    run = launch(call_each, 1, shared={"function": "messages_and_bytes", "calls": calls}, process_group=False)
    assert all(run["errors"][0]), f"Errors of the three calls: {run['errors'][0]}"
