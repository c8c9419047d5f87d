"""Public tests of exercise `launch`. The launching process is one rank of the judge; it calls the student's launcher."""

import signal

import pytest

from assignments.ch02_distributed_programming import programs
from grader.harness import assert_matches

exercise = pytest.mark.exercise


@pytest.fixture
def start(launch):
    """Call the student's launcher in a process of its own, which may have children."""

    def start(function, num_ranks, *args, num_callers=1, timeout_s=None, **options):
        shared = {"function": function, "num_ranks": num_ranks, "args": args, **options}
        return launch(
            programs.call_launch,
            num_callers,
            shared=shared,
            process_group=False,
            needs=("children",),
            timeout_s=timeout_s,
        )

    return start


def assert_results(run, expected):
    """Fail with the launcher's own error where it raised one, else compare the results."""
    for error, text in zip(run["error"], run["text"], strict=True):
        assert not error, f"launch raised {error}, but no rank failed: {text}"
    assert_matches(run["results"], expected)


@exercise("launch", aspect="equivalence")
@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_results_come_in_rank_order(start, world_size):
    """The results stand in rank order, although the last rank returns first."""
    run = start("last_rank_first", world_size)
    assert_results(run, [f"from rank {rank}" for rank in range(world_size)])


@exercise("launch", aspect="equivalence")
def test_each_rank_knows_its_place(start):
    """Every rank gets its rank, the world size and the arguments, and finds torchrun's variables in its environment."""
    run = start("place", 2, "a", 2.5)
    expected = [{"given": [r, 2, "a", 2.5], "environment": [str(r), str(r), "2", "2"]} for r in range(2)]
    assert_results(run, expected)


@exercise("launch", aspect="equivalence")
@pytest.mark.parametrize("world_size", [1, 3])
def test_ranks_can_communicate(start, world_size):
    """Every rank finds the default process group initialised, with itself in its place."""
    run = start("sum_of_ranks", world_size)
    assert_results(run, [[r, world_size, sum(range(world_size))] for r in range(world_size)])


@exercise("launch", aspect="property")
def test_the_first_exception_ends_the_launch(start):
    """An exception on one rank becomes a RemoteError with its traceback, at once, and no process is left behind."""
    run = start("raise_alone", 3, 1)
    assert_matches(run["error"], "RemoteError")
    assert_matches(run["rank"], 1)
    assert "Traceback" in run["text"][0]
    assert "ZeroDivisionError: planted on rank 1" in run["text"][0]
    assert run.orphans == 0, f"{run.orphans} processes outlived the launch"


@exercise("launch", aspect="property")
def test_the_cause_is_reported_and_not_its_victims(start):
    """The RemoteError names the rank that raised, not the ranks that lost it in the middle of a barrier."""
    run = start("raise_on", 3, 2)
    assert_matches(run["error"], "RemoteError")
    assert_matches(run["rank"], 2)


@exercise("launch", aspect="property")
def test_a_hang_ends_with_the_timeout(start):
    """A rank that never returns makes launch raise TimeoutError, and is gone even though it ignores SIGTERM."""
    run = start("hang_on", 2, [1], timeout=1.0)
    assert_matches(run["error"], "TimeoutError")
    assert run.orphans == 0, f"{run.orphans} processes outlived the launch"


@exercise("launch", aspect="property")
def test_launches_do_not_collide(start):
    """Two launches at the same time on one machine form two separate process groups."""
    run = start("linger", 2, 5, num_callers=2)
    assert_results(run, [[2, 20], [2, 20]])
    assert run.orphans == 0, f"{run.orphans} processes outlived the launch"


@exercise("launch", aspect="robustness")
def test_a_rank_stays_until_all_have_returned(start):
    """A rank that returned early is still there while another works, so that no connection breaks."""
    assert_results(start("rank_0_is_there", 2), [True, True])


@exercise("launch", aspect="robustness")
def test_a_large_result_does_not_block(start):
    """A result of a megabyte arrives whole from every rank."""
    numel = 1 << 17
    run = start("large_tensor", 2, numel)
    assert_results(run, [programs.large_tensor(rank, 2, numel) for rank in range(2)])


@exercise("launch", aspect="robustness")
@pytest.mark.parametrize(
    ("how", "code", "reason"), [("os._exit", 3, "exit code 3"), ("signal", signal.SIGABRT, "SIGABRT")]
)
def test_a_rank_that_ends_without_a_result_is_an_error(start, how, code, reason):
    """A rank that ends without a result becomes a RemoteError that says how it ended."""
    run = start("end_on", 2, 1, how, int(code))
    assert_matches(run["error"], "RemoteError")
    assert_matches(run["rank"], 1)
    assert reason in run["text"][0]


@exercise("launch", aspect="robustness")
def test_the_fork_server_works_too(start):
    """With the start method "forkserver" the ranks begin in fresh processes, and everything else is the same."""
    run = start("sum_of_ranks", 2, start_method="forkserver", timeout_s=60)
    assert_results(run, [[0, 2, 1], [1, 2, 1]])
