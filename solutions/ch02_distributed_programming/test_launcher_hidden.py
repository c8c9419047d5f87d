"""Hidden tests of exercise `launch`: more ranks, stranger results, and every way for a rank to go wrong."""

import re
import signal

import pytest
import torch

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
def test_four_ranks_know_their_place(start):
    """Four ranks get the arguments they were launched with, whatever their kind, and find their variables."""
    args = (torch.arange(3), {"a": [1, 2]}, None)
    run = start("place", 4, *args)
    expected = [{"given": [r, 4, *args], "environment": [str(r), str(r), "4", "4"]} for r in range(4)]
    assert_results(run, expected)
    assert_matches(run["environment_changed"], False)


@exercise("launch", aspect="equivalence")
def test_a_failed_launch_leaves_no_trace(start):
    """After a launch that failed, the ranks of the next one meet each other, not what the first ones left."""
    run = start("sum_of_ranks", 3, after_a_failure=True)
    assert_results(run, [[r, 3, 3] for r in range(3)])


@exercise("launch", aspect="property")
def test_ranks_stay_together_and_end_together(start):
    """A rank that has returned stays until all have; when launch returns, all processes have ended."""
    run = start("rank_0_is_there", 3)
    assert_results(run, [True, True, True])
    assert run.orphans == 0, f"{run.orphans} processes outlived the launch"


@exercise("launch", aspect="property")
@pytest.mark.parametrize("bad_rank", [0, 1, 3])
def test_the_cause_is_reported_and_not_its_victims(start, bad_rank):
    """Whichever rank raises, it is the one named, and its traceback the one shown."""
    run = start("raise_on", 4, bad_rank)
    assert_matches(run["error"], "RemoteError")
    assert_matches(run["rank"], bad_rank)
    assert f"ZeroDivisionError: planted on rank {bad_rank}" in run["text"][0]
    assert run.orphans == 0, f"{run.orphans} processes outlived the launch"


@exercise("launch", aspect="property")
def test_the_timeout_names_the_ranks_that_hang(start):
    """TimeoutError names every rank that has neither returned nor failed."""
    run = start("hang_on", 3, [0, 2], timeout=0.5)
    assert_matches(run["error"], "TimeoutError")
    named = set(re.findall(r"\d+", run["text"][0]))
    assert {"0", "2"} <= named, f"Ranks 0 and 2 hang, the message says: {run['text'][0]}"
    assert run.orphans == 0, f"{run.orphans} processes outlived the launch"


@exercise("launch", aspect="property")
def test_three_launches_do_not_collide(start):
    """Three launches at the same time on one machine form three process groups."""
    run = start("linger", 2, 7, num_callers=3)
    assert_results(run, [[2, 28], [2, 28]])


@exercise("launch", aspect="robustness")
def test_none_is_a_result(start):
    """A function that returns None has returned."""
    assert_results(start("nothing", 3), [None, None, None])


@exercise("launch", aspect="robustness")
def test_large_tensors_from_every_rank(start):
    """Tensors of several megabytes arrive from all ranks, although the ranks have ended by then."""
    numel = 1 << 19
    run = start("large_tensor", 3, numel)
    assert_results(run, [programs.large_tensor(rank, 3, numel) for rank in range(3)])


@exercise("launch", aspect="robustness")
@pytest.mark.parametrize(
    ("how", "code", "reason"),
    [
        ("os._exit", 0, "exit code 0"),
        ("sys.exit", 5, "exit code 5"),
        ("signal", signal.SIGKILL, "SIGKILL"),
        ("signal", signal.SIGSEGV, "SIGSEGV"),
    ],
)
def test_a_rank_that_ends_without_a_result_is_the_cause(start, how, code, reason):
    """A rank that ends without a result is the one named, not the ranks that raise because they lost it."""
    run = start("end_on", 3, 2, how, int(code))
    assert_matches(run["error"], "RemoteError")
    assert_matches(run["rank"], 2)
    assert reason in run["text"][0]
    assert run.orphans == 0, f"{run.orphans} processes outlived the launch"


@exercise("launch", aspect="robustness")
def test_a_result_that_cannot_be_pickled_is_an_error(start):
    """A result that pickle cannot carry is that rank's failure, and no reason to wait."""
    run = start("return_unpicklable", 2)
    assert_matches(run["error"], "RemoteError")
    assert "pickle" in run["text"][0].lower()


@exercise("launch", aspect="robustness")
def test_no_ranks_are_refused(start):
    """A launch without ranks raises ValueError."""
    assert_matches(start("nothing", 0)["error"], "ValueError")


@exercise("launch", aspect="robustness")
def test_spawn_works_too(start):
    """With the start method "spawn" a rank is a fresh interpreter, and everything else is the same."""
    run = start("sum_of_ranks", 1, start_method="spawn", timeout_s=60)
    assert_results(run, [[0, 1, 0]])
