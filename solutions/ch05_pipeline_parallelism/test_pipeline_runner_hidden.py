"""Hidden tests of exercise `pipeline_runner`."""

import random

import pytest
import torch

from assignments.ch05_pipeline_parallelism import programs_pipeline_runner as programs
from assignments.ch05_pipeline_parallelism.references import random_schedule
from assignments.ch05_pipeline_parallelism.references_pipeline_runner import (
    assert_edges,
    assert_holds,
    assert_order,
    assert_runs,
    assert_unchanged_and_plain,
    launch_runs,
    one_process,
    values_for,
)
from course_env.gpt_config import GPTConfig
from grader.harness import exercise
from solutions.ch05_pipeline_parallelism.interleaved import interleaved_1f1b_schedule
from solutions.ch05_pipeline_parallelism.schedules import gpipe_schedule, one_f_one_b_schedule
from solutions.ch05_pipeline_parallelism.zero_bubble import zb_h1_schedule

SIX = ((3, 3), (3, 5, 3), (3,), (3, 4, 3), (3, 3, 3), (3, 3))


@exercise("pipeline_runner", aspect="equivalence")
@pytest.mark.parametrize("kinds", ["FB", "FBW"])
def test_schedules_in_no_order_that_anybody_knows(launch, kinds):
    """Legal schedules drawn at random run in their own order, and have the losses and gradients of the whole model."""
    rng = random.Random(f"runner {kinds}")  # noqa: S311
    schedules = [random_schedule(3, 2, 3, kinds, rng) for _ in range(2)]
    run, runs, results = launch_runs(launch, SIX, schedules, m=3, marked=True)
    assert_order(run, runs, 3)
    assert_runs(run, results, 3)


@exercise("pipeline_runner", aspect="equivalence")
def test_three_chunks_on_two_ranks(launch):
    """On two ranks, activations and gradients travel in both directions at once, and none is taken for another."""
    schedule = interleaved_1f1b_schedule(2, 3, 4)
    run, runs, results = launch_runs(launch, SIX, [schedule], m=4, marked=True)
    assert_order(run, runs, 2)
    assert_runs(run, results, 2)


@exercise("pipeline_runner", aspect="property")
def test_messages_of_interleaved_stages(launch):
    """With v chunks, every rank sends v times as many messages, of the same size, also from the last rank to the first."""
    run, _, results = launch_runs(launch, SIX, [interleaved_1f1b_schedule(3, 2, 3)], m=3)
    assert_edges(run.comm, 6, 3, 3, num_bytes=2 * 3 * 8)
    assert_runs(run, results, 3)


@exercise("pipeline_runner", aspect="property")
def test_messages_of_split_backward(launch):
    """A schedule with W sends what one without W sends."""
    run, _, results = launch_runs(launch, SIX[:3], [zb_h1_schedule(3, 4)], m=4)
    assert_edges(run.comm, 3, 3, 4, num_bytes=2 * 3 * 8)
    assert_runs(run, results, 3)


@exercise("pipeline_runner", aspect="property")
@pytest.mark.parametrize("build", [gpipe_schedule, one_f_one_b_schedule, zb_h1_schedule])
def test_what_each_rank_holds(launch, build):
    """Of no schedule does a rank hold more forward passes than it says, W counted where there is one."""
    schedule = build(3, 5)
    run, _, results = launch_runs(launch, ((4, 5, 4),) * 3, [schedule], m=5)
    assert_holds(run, schedule, split=build is zb_h1_schedule)
    assert_runs(run, results, 3)


@exercise("pipeline_runner", aspect="robustness")
def test_gradients_add_up_over_runs(launch):
    """Gradients are added to those that are there already."""
    run, _, results = launch_runs(launch, SIX[:3], [one_f_one_b_schedule(3, 2), gpipe_schedule(3, 2)], m=2, clear=False)
    assert_runs(run, results, 3)


@exercise("pipeline_runner", aspect="robustness")
def test_frozen_stages(launch):
    """The first stage and another one have nothing to train, and the stages between them train as ever."""
    schedules = [one_f_one_b_schedule(3, 3), zb_h1_schedule(3, 3)]
    run, _, results = launch_runs(launch, SIX[3:], schedules, m=3, frozen=[0, 2])
    assert_runs(run, results, 3)


@exercise("pipeline_runner", aspect="robustness")
def test_one_rank_with_two_chunks(launch):
    """On a single rank nothing is sent, and the last chunk's loss reaches the first chunk."""
    run, _, results = launch_runs(launch, SIX[:2], [interleaved_1f1b_schedule(1, 2, 2)], m=2)
    assert_edges(run.comm, 2, 1, 2, num_bytes=0)
    assert_runs(run, results, 1)


@exercise("pipeline_runner", aspect="robustness")
@pytest.mark.parametrize("members", [[2, 0], [3, 1, 0]])
def test_groups_of_any_ranks(launch, members):
    """A pipeline of some of the ranks, in any order, is numbered within its group."""
    p = len(members)
    run, _, results = launch_runs(launch, SIX[:p], [one_f_one_b_schedule(p, 3)], m=3, members=members)
    assert_edges(run.comm, p, p, 3, num_bytes=2 * 3 * 8, members=members)
    assert_runs(run, results, p, members=members)


@exercise("pipeline_runner", aspect="robustness")
@pytest.mark.parametrize("float32", [False, True])
def test_a_language_model(launch, float32):
    """Tokens go in and classes are the targets; each micro-batch's loss is the mean over its own valid tokens."""
    config = GPTConfig(vocab_size=11, n_layer=4, n_head=2, d_model=8, max_seq=5, tie_embeddings=False)
    dtype = torch.float32 if float32 else torch.float64
    values = values_for((config, 3), 3)
    inputs, targets = torch.randint(11, (2, 4, 2, 5)).unbind()
    targets[1, 0, 1:], targets[2, :, 3] = -100, -100
    one = {"schedule": one_f_one_b_schedule(3, 4), "inputs": list(inputs), "targets": list(targets)}
    shared = {"model": [config, 3], "values": values, "runs": [one], "act_shape": [2, 5, 8], "float32": float32}
    run = launch(programs.pipeline, 3, shared=shared)
    results = one_process((config, 3), values, [one], dtype=dtype)
    assert_runs(run, results, 3, rtol=1e-4 if float32 else None)
    assert_unchanged_and_plain(run)
