"""Hidden tests of exercise `tied_embeddings`."""

import pytest

from assignments.ch05_pipeline_parallelism.references_tied_embeddings import (
    assert_collectives,
    assert_tied,
    launch_training,
)
from grader.harness import exercise


@exercise("tied_embeddings", aspect="equivalence")
@pytest.mark.parametrize("stage", [0, 2])
def test_an_end_without_a_gradient(launch, stage):
    """A copy that a step did not use has no gradient of its own, and gets the other's."""
    run, due = launch_training(launch, [[0, 1, 2]], world_size=3, num_steps=2, without_grad=[stage])
    assert_tied(run, due)


@exercise("tied_embeddings", aspect="property")
def test_a_grid_with_a_rank_to_spare(launch):
    """In two pipelines of three stages, and with a rank in neither, only ends communicate, each with its own other end."""
    pipelines = [[5, 0, 3], [1, 4, 2]]
    run, due = launch_training(launch, pipelines, world_size=7, num_steps=1)
    assert_collectives(run.comm, pipelines, num_steps=1)
    assert_tied(run, due)


@exercise("tied_embeddings", aspect="robustness")
def test_pipelines_of_one_stage(launch):
    """Where embedding and head are one parameter, its gradient is complete, and nothing is sent."""
    run, due = launch_training(launch, [[0], [1]], world_size=2, num_steps=2)
    assert_collectives(run.comm, [[0], [1]], num_steps=2)
    assert_tied(run, due)
