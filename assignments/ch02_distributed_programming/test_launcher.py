"""Public tests of exercise `launch`. The launching process is one rank of the judge; it calls the student's launcher.

Every rank draws a secret, which only a process that was really started can know, and which only ranks that really
communicate can add up.
"""

import signal

import pytest
import torch

from assignments.ch02_distributed_programming import programs
from assignments.ch02_distributed_programming.references_launcher import (
    assert_all_stay,
    assert_places,
    assert_no_trace,
    assert_remote_error,
    assert_results,
    assert_timeout,
    assert_timeout_names,
    secret_of,
    start,
)
from grader.harness import assert_matches, exercise


@exercise("launch", aspect="equivalence")
@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_results_come_in_rank_order(launch, world_size):
    """The results stand in rank order, although the last rank returns first."""
    run = start(launch, "last_rank_first", world_size)
    assert_results(run, lambda secrets: secrets)


@exercise("launch", aspect="equivalence")
def test_each_rank_knows_its_place(launch):
    """Every rank gets its rank, the world size and the arguments, and finds torchrun's variables in its environment."""
    assert_places(start(launch, "place", 2, "a", 2.5), 2, ["a", 2.5])


@exercise("launch", aspect="equivalence")
def test_the_backend_is_the_one_that_was_asked_for(launch):
    """The default process group has the backend that was passed, here gloo for tensors on the CPU and nothing else."""
    run = start(launch, "backend_in_use", 2, backend="cpu:gloo")
    assert_results(run, lambda secrets: [{"secret": secret, "backend": "cpu:gloo"} for secret in secrets])


@exercise("launch", aspect="equivalence")
@pytest.mark.parametrize("world_size", [1, 3])
def test_ranks_can_communicate(launch, world_size):
    """Every rank finds the default process group initialised, with itself in its place."""
    run = start(launch, "sum_of_secrets", world_size)
    assert_results(run, lambda secrets: [[r, world_size, secrets[r], sum(secrets)] for r in range(world_size)])


@exercise("launch", aspect="property")
def test_the_first_exception_ends_the_launch(launch):
    """An exception on one rank becomes a RemoteError with its traceback, at once, and no process is left behind."""
    run = start(launch, "raise_alone", 3, 1)
    assert_remote_error(run, 1, "Traceback", f"ZeroDivisionError: planted on rank 1: {secret_of(run, 1)}")


@exercise("launch", aspect="property")
def test_the_cause_is_reported_and_not_its_victims(launch):
    """The RemoteError names the rank that raised, not the ranks whose barrier failed because of it."""
    run = start(launch, "raise_on", 3, 2)
    assert_remote_error(run, 2, f"ZeroDivisionError: planted on rank 2: {secret_of(run, 2)}")


@exercise("launch", aspect="property")
def test_a_hang_ends_with_the_timeout(launch):
    """A rank that never returns makes launch raise TimeoutError. Its process ends even though it ignores SIGTERM."""
    assert_timeout(start(launch, "hang_on_some", 2, 1, timeout=1.5), 2, 1)


@exercise("launch", aspect="property")
def test_all_ranks_have_one_deadline(launch):
    """The timeout runs from the call on, and no rank gets time of its own because another one has returned."""
    run = start(launch, "one_after_another", 2, timeout=2.0)  # after 1 and 3 seconds
    assert_matches(run["error"], "TimeoutError", what="the exception's type, where rank 1 returns after the deadline,")
    assert_timeout_names(run, {1})


@exercise("launch", aspect="property")
def test_launches_do_not_collide(launch):
    """Two launches at the same time on one machine form two separate process groups."""
    run = start(launch, "linger", 2, num_callers=2)
    assert_results(run, lambda secrets: [[2, sum(secrets)]] * 2)
    assert_no_trace(run)


@exercise("launch", aspect="robustness")
def test_a_rank_stays_until_all_have_returned(launch):
    """A rank that returned early is still there while another works, so that no connection breaks."""
    assert_all_stay(start(launch, "rank_0_is_there", 2))


@exercise("launch", aspect="robustness")
def test_a_large_result_does_not_block(launch):
    """A result of a megabyte arrives whole from every rank."""
    numel = 1 << 17
    run = start(launch, "large_tensor", 2, numel)
    assert_results(run, lambda secrets: [torch.full((numel,), secret, dtype=torch.float64) for secret in secrets])


@exercise("launch", aspect="robustness")
@pytest.mark.parametrize(
    ("how", "code", "reason"), [("os._exit", None, None), ("signal", int(signal.SIGABRT), "SIGABRT")]
)
def test_a_rank_that_ends_without_a_result_is_an_error(launch, how, code, reason):
    """A rank that ends without a result becomes a RemoteError that says how it ended."""
    run = start(launch, "end_on", 2, 1, (how, code))
    assert_remote_error(run, 1, reason or f"exit code {programs.exit_code_of(secret_of(run, 1))}")


@exercise("launch", aspect="robustness")
def test_the_fork_server_works_too(launch):
    """With the start method "forkserver" the ranks begin in fresh processes, and everything else is the same."""
    run = start(launch, "sum_of_secrets", 2, ctx="forkserver", timeout_s=60)
    assert_results(run, lambda secrets: [[r, 2, secrets[r], sum(secrets)] for r in range(2)])


@exercise("launch", aspect="robustness")
@pytest.mark.parametrize("world_size", [0, -1])
def test_no_ranks_are_refused(launch, world_size):
    """A launch of fewer than one rank raises ValueError."""
    run = start(launch, "nothing", world_size)
    assert_matches(run["error"], "ValueError", what=f"the exception's type, where launch got world_size={world_size},")
