"""Hidden tests of exercise `cost_model`: the model against messages written out, sent, and counted one by one."""

import itertools
from fractions import Fraction

import pytest
import torch

from course_env.rank_programs import call_each
from grader.harness import assert_each_raises, assert_each_returns, assert_matches, assert_returns, exercise
from solutions.ch02_distributed_programming import programs_hidden

ALGORITHMS = ("root", "all_to_all", "ring", "tree", "recursive_doubling")


def rounds_of(algo, n, nbytes):
    """Return the messages of an all-reduce round by round, as (source, destination, buffer, start, stop, action).

    The sender takes start:stop of its "own" input or of its "total" so far; the receiver adds it to its total,
    or copies it there.
    """
    return {
        "root": root_rounds,
        "all_to_all": all_to_all_rounds,
        "ring": ring_rounds,
        "tree": tree_rounds,
        "recursive_doubling": recursive_doubling_rounds,
    }[algo](n, nbytes)


def root_rounds(n, nbytes):
    """Send all buffers to rank 0, one at a time, and the sum back, one at a time."""
    gather = [[(r, 0, "own", 0, nbytes, "add")] for r in range(1, n)]
    return gather + [[(0, r, "total", 0, nbytes, "copy")] for r in range(1, n)]


def all_to_all_rounds(n, nbytes):
    """Send every own buffer k places on in round k."""
    return [[(r, (r + k) % n, "own", 0, nbytes, "add") for r in range(n)] for k in range(1, n)]


def ring_rounds(n, nbytes):
    """Send padded chunks round the ring, in a reduce-scatter and then in an all-gather."""
    chunk = -(-nbytes // n)

    def exchange(shift, action):
        starts = [(r - shift) % n * chunk for r in range(n)]
        return [(r, (r + 1) % n, "total", starts[r], starts[r] + chunk, action) for r in range(n)]

    return [exchange(k, "add") for k in range(n - 1)] + [exchange(k - 1, "copy") for k in range(n - 1)]


def tree_rounds(n, nbytes):
    """Send all buffers up a binomial tree to rank 0, and the sum down again."""
    distances = [2**k for k in range((n - 1).bit_length())]
    up = [[(r, r - d, "total", 0, nbytes, "add") for r in range(d, n, 2 * d)] for d in distances]
    down = [[(r - d, r, "total", 0, nbytes, "copy") for r in range(d, n, 2 * d)] for d in reversed(distances)]
    return up + down


def recursive_doubling_rounds(n, nbytes):
    """Let pairs at distance 1, 2, 4, ... exchange; ranks beyond the power of two hand in before and get back after."""
    p = 1 << (n.bit_length() - 1)
    before = [[(r, r - p, "own", 0, nbytes, "add") for r in range(p, n)]] if n > p else []
    after = [[(r - p, r, "total", 0, nbytes, "copy") for r in range(p, n)]] if n > p else []
    distances = [2**k for k in range(p.bit_length() - 1)]
    return before + [[(r, r ^ d, "total", 0, nbytes, "add") for r in range(p)] for d in distances] + after


def counted(algo, n, nbytes):
    """Return the messages and the bytes of all rounds."""
    messages = [message for messages in rounds_of(algo, n, nbytes) for message in messages]
    return len(messages), sum(stop - start for _, _, _, start, stop, _ in messages)


def timed(algo, n, nbytes, alpha, beta):
    """Return the sum over the rounds of the time of a round's largest message."""
    rounds = rounds_of(algo, n, nbytes)
    return sum(alpha + beta * max(stop - start for _, _, _, start, stop, _ in messages) for messages in rounds)


def call_all(launch, function, calls):
    """Return the launch in which the student's function was called many times."""
    return launch(call_each, 1, shared={"function": function, "calls": calls}, process_group=False)


def drawn(high):
    """Return a number from 1 to `high` - 1."""
    return int(torch.randint(1, high, ()))


def drawn_cases():
    """Return calls for every algorithm, for ranks that are a power of two and that are not, and for drawn sizes."""
    return [
        {"algo": algo, "n": n, "nbytes": nbytes}
        for algo in ALGORITHMS
        for n in (*range(1, 10), 15, 16, 17, 33, 64)
        for nbytes in (0, 1, 64, drawn(100), drawn(5000), drawn(10**9))
    ]


@exercise("cost_model", aspect="equivalence")
def test_messages_and_bytes_of_many_cases(launch):
    """The traffic is what one counts in the rounds written out, powers of two or not, down to an empty buffer."""
    cases = drawn_cases()
    run = call_all(launch, "messages_and_bytes", cases)
    assert_each_returns(run, "messages_and_bytes", cases, [counted(**case) for case in cases])


@exercise("cost_model", aspect="equivalence")
def test_times_of_many_cases(launch):
    """The time is what one adds up over the rounds written out."""
    calls = [case | {"alpha": drawn(100) * 1e-7, "beta": drawn(100) * 1e-11} for case in drawn_cases()]
    run = call_all(launch, "allreduce_time", calls)
    assert_each_returns(run, "allreduce_time", calls, [float(timed(**call)) for call in calls])


@exercise("cost_model", aspect="equivalence")
def test_the_best_of_many_cases(launch):
    """The best algorithm is the fastest one, and among equals the first."""
    calls = [
        {"n": n, "nbytes": nbytes, "alpha": alpha, "beta": 1.0}
        for n in (1, 2, 3, 4, 5, 6, 8, 9, 13)
        for nbytes in (0, 1, drawn(20), drawn(200), drawn(20_000))
        for alpha in (0.0, float(drawn(9)), float(drawn(100)))
    ]
    best = [min(ALGORITHMS, key=lambda algo: timed(algo, **call)) for call in calls]
    assert_each_returns(call_all(launch, "best_algo", calls), "best_algo", calls, best)


@exercise("cost_model", aspect="property")
@pytest.mark.parametrize("algo", ALGORITHMS)
@pytest.mark.parametrize(("n", "nbytes"), [(5, 37), (4, 104_003)])
def test_the_model_counts_what_is_sent(launch, algo, n, nbytes):
    """An all-reduce that really runs needs the messages, bytes and rounds that the model predicts."""
    padded = -(-nbytes // n) * n
    xs = [torch.randint(256, (padded,), dtype=torch.uint8) for _ in range(n)]
    rounds = rounds_of(algo, n, padded if algo == "ring" else nbytes)
    run = launch(
        programs_hidden.all_reduce_by_rounds,
        n,
        per_rank={"x": xs},
        shared={"rounds": rounds, "size": nbytes, "algo": algo},
    )
    total = torch.stack(xs).sum(0, dtype=torch.uint8)
    assert_matches(run["total"], total[:nbytes])
    assert_matches(run["traffic"], (run.comm.count("send"), int(sum(run.comm.bytes_sent_per_rank()))))
    assert_matches(run["latencies"], float(run.comm.rounds()))


@exercise("cost_model", aspect="property")
def test_crossovers_against_trying_every_size(launch):
    """Every crossover is the first size that a search through all sizes finds, however ragged the ring's time is."""
    sizes = range(600)
    calls, expected = [], []
    for n, alpha in itertools.product(range(1, 10), (0, 1, drawn(20))):
        times = {algo: [timed(algo, n, size, alpha, 1) for size in sizes] for algo in ALGORITHMS}
        for a, b in itertools.permutations(ALGORITHMS, 2):
            calls.append({"algo_a": a, "algo_b": b, "n": n, "alpha": float(alpha), "beta": 1.0})
            expected.append(next((size for size in sizes if times[b][size] < times[a][size]), None))
    assert_each_returns(call_all(launch, "crossover_bytes", calls), "crossover_bytes", calls, expected)


@exercise("cost_model", aspect="property")
def test_crossovers_may_be_huge(launch):
    """A crossover at terabytes is found to the byte."""
    calls = [
        {"algo_a": a, "algo_b": "ring", "n": n, "alpha": drawn(1000) / 1000, "beta": drawn(1000) * 1e-15}
        for a, n in (("recursive_doubling", 8), ("all_to_all", 6), ("tree", 48))
    ]
    run = call_all(launch, "crossover_bytes", calls)
    assert_each_raises(run, "crossover_bytes", calls, [""] * len(calls))
    for call, found in zip(calls, run["values"][0], strict=True):
        assert isinstance(found, int), f"crossover_bytes(**{call}) returned {found!r}, and there is a crossover."
        a, n = call["algo_a"], call["n"]
        alpha, beta = Fraction(call["alpha"]), Fraction(call["beta"])
        ahead = [timed(a, n, found - i, alpha, beta) > timed("ring", n, found - i, alpha, beta) for i in range(20)]
        assert ahead == [True] + [False] * 19, (
            f"crossover_bytes(**{call}) returned {found}. That is not the first size at which the ring is strictly faster."
        )


@exercise("cost_model", aspect="robustness")
def test_impossible_arguments_are_refused_everywhere(launch):
    """All functions refuse an unknown algorithm and a world without ranks."""
    cost = {"alpha": 1.0, "beta": 1.0}
    calls = {
        "allreduce_time": [
            {"algo": "Ring", "n": 4, "nbytes": 8, **cost},
            {"algo": "tree", "n": 0, "nbytes": 8, **cost},
            {"algo": "tree", "n": 4, "nbytes": -1, **cost},
        ],
        "best_algo": [{"n": 0, "nbytes": 8, **cost}, {"n": 4, "nbytes": -8, **cost}],
        "crossover_bytes": [
            {"algo_a": "ring", "algo_b": "mesh", "n": 4, **cost},
            {"algo_a": "Ring", "algo_b": "tree", "n": 4, **cost},
            {"algo_a": "ring", "algo_b": "tree", "n": 0, **cost},
        ],
    }
    for function, impossible in calls.items():
        run = call_all(launch, function, impossible)
        assert_each_raises(run, function, impossible, ["ValueError"] * len(impossible))


@exercise("cost_model", aspect="robustness")
def test_two_ranks_and_empty_buffers(student):
    """An empty message still costs its latency, and with two ranks nothing beats a single exchange."""
    assert_returns(student.allreduce_time, {"algo": "ring", "n": 4, "nbytes": 0, "alpha": 2.0, "beta": 1.0}, 12.0)
    assert_returns(student.best_algo, {"n": 2, "nbytes": 10**6, "alpha": 1.0, "beta": 1.0}, "all_to_all")
    same = {"algo_a": "recursive_doubling", "algo_b": "all_to_all", "n": 2, "alpha": 1.0, "beta": 1.0}
    assert_returns(student.crossover_bytes, same, None)
