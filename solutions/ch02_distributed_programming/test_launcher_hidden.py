"""Hidden tests of exercise `launch`: more ranks, stranger results, and every way for a rank to go wrong."""

import signal

import pytest
import torch

from assignments.ch02_distributed_programming import programs
from assignments.ch02_distributed_programming.references_launcher import (
    assert_all_stay,
    assert_no_trace,
    assert_places,
    assert_remote_error,
    assert_results,
    assert_timeout,
    secret_of,
    start,
)
from grader.harness import assert_matches, exercise


@exercise("launch", aspect="equivalence")
def test_four_ranks_know_their_place(launch):
    """Four ranks get the arguments they were launched with, whatever their kind, and find their variables."""
    args = (torch.randint(1000, (3,)), {"a": [1, 2]}, None)
    assert_places(start(launch, "place", 4, *args), 4, args)


@exercise("launch", aspect="equivalence")
def test_a_failed_launch_leaves_no_trace(launch):
    """After a launch that failed, the ranks of the next one meet each other, not what the first ones left."""
    run = start(launch, "sum_of_secrets", 3, after_a_failure=True)
    assert_results(run, lambda secrets: [[r, 3, secrets[r], sum(secrets)] for r in range(3)])


@exercise("launch", aspect="property")
def test_ranks_stay_together_and_end_together(launch):
    """A rank that has returned stays until all have; when launch returns, all processes have ended."""
    run = start(launch, "rank_0_is_there", 3)
    assert_all_stay(run)
    assert_no_trace(run)


@exercise("launch", aspect="property")
@pytest.mark.parametrize("bad_rank", [0, 1, 3])
def test_the_cause_is_reported_and_not_its_victims(launch, bad_rank):
    """The error names the rank that raised, whichever it is, and shows that rank's traceback."""
    run = start(launch, "raise_on", 4, bad_rank)
    assert_remote_error(run, bad_rank, f"ZeroDivisionError: planted on rank {bad_rank}: {secret_of(run, bad_rank)}")


@exercise("launch", aspect="property")
def test_the_timeout_names_the_ranks_that_hang(launch):
    """TimeoutError names every rank that has neither returned nor failed."""
    assert_timeout(start(launch, "hang_on_some", 4, 2, timeout=1.5), 4, 2)


@exercise("launch", aspect="property")
def test_three_launches_do_not_collide(launch):
    """Three launches at the same time on one machine form three process groups."""
    run = start(launch, "linger", 2, num_callers=3)
    assert_results(run, lambda secrets: [[2, sum(secrets)]] * 2)
    assert_no_trace(run)


@exercise("launch", aspect="robustness")
def test_none_is_a_result(launch):
    """A function that returns None has returned."""
    assert_results(start(launch, "nothing", 3), lambda secrets: [None] * len(secrets))


@exercise("launch", aspect="robustness")
def test_large_tensors_from_every_rank(launch):
    """Tensors of several megabytes arrive from all ranks, although the ranks have ended by then."""
    numel = 1 << 19
    run = start(launch, "large_tensor", 3, numel)
    assert_results(run, lambda secrets: [torch.full((numel,), secret, dtype=torch.float64) for secret in secrets])


@exercise("launch", aspect="robustness")
@pytest.mark.parametrize(
    ("how", "code", "reason"),
    [
        ("os._exit", 0, "exit code 0"),
        ("sys.exit", None, None),
        ("signal", int(signal.SIGKILL), "SIGKILL"),
        ("signal", int(signal.SIGSEGV), "SIGSEGV"),
    ],
)
def test_a_rank_that_ends_without_a_result_is_the_cause(launch, how, code, reason):
    """A rank that ends without a result is the one named, not the ranks that raise because they lost it."""
    run = start(launch, "end_on", 3, 2, (how, code))
    assert_remote_error(run, 2, reason or f"exit code {programs.exit_code_of(secret_of(run, 2))}")


@exercise("launch", aspect="robustness")
def test_a_result_that_cannot_be_pickled_is_an_error(launch):
    """A result that pickle cannot carry is that rank's failure, and no reason to wait."""
    run = start(launch, "return_unpicklable", 2)
    assert_matches(run["error"], "RemoteError", what="the exception's type")
    assert "pickle" in run["text"][0].lower(), (
        f"The exception's reason must speak of pickle, but it is: {run['text'][0]}"
    )


@exercise("launch", aspect="robustness")
def test_spawn_works_too(launch):
    """With the start method "spawn" a rank is a fresh interpreter, and everything else is the same."""
    run = start(launch, "sum_of_secrets", 1, ctx="spawn", timeout_s=60)
    assert_results(run, lambda secrets: [[0, 1, secrets[0], secrets[0]]])


@exercise("launch", aspect="robustness")
def test_what_is_left_out_has_a_default(launch):
    """Without options the ranks come from a fork server and talk over gloo."""
    run = start(launch, "sum_of_secrets", 2, ctx=None, timeout=None, timeout_s=60)
    assert_results(run, lambda secrets: [[r, 2, secrets[r], sum(secrets)] for r in range(2)])
