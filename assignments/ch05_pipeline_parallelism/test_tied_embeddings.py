"""Public tests of exercise `tied_embeddings`."""

import pytest

from assignments.ch05_pipeline_parallelism import programs_tied_embeddings as programs
from assignments.ch05_pipeline_parallelism.references_tied_embeddings import (
    assert_collectives,
    assert_tied,
    launch_training,
)
from course_env.rank_programs import error_types
from grader.harness import exercise


@exercise("tied_embeddings", aspect="equivalence")
@pytest.mark.parametrize("pipelines", [[[0, 1, 2]], [[0, 1]]])
def test_both_ends_train_as_one_weight(launch, pipelines):
    """Both copies begin as that of the first stage, get the sum of both gradients, and stay equal over three steps."""
    run, due = launch_training(launch, pipelines, world_size=len(pipelines[0]))
    assert_tied(run, due)


@exercise("tied_embeddings", aspect="property")
def test_one_all_reduce_between_the_two_ends(launch):
    """A step costs the ends one all-reduce of the weight's size, and the stages between them nothing."""
    run, due = launch_training(launch, [[0, 1, 2, 3]], world_size=4, num_steps=2)
    assert_collectives(run.comm, [[0, 1, 2, 3]], num_steps=2)
    assert_tied(run, due)


@exercise("tied_embeddings", aspect="robustness")
def test_two_pipelines(launch):
    """Two pipelines side by side tie their own ends, in whatever order their ranks come."""
    run, due = launch_training(launch, [[0, 2], [3, 1]], world_size=4)
    assert_tied(run, due)


@exercise("tied_embeddings", aspect="robustness")
def test_a_rank_in_two_places(launch):
    """Pipelines that share a rank are a ValueError on every rank."""
    run = launch(programs.refuse, 2, shared={"tables": [[[0, 1], [1, 0]], [[0, 0]], [[0, 1]]]})
    for rank, errors in enumerate(run["errors"]):
        assert error_types(errors) == ["ValueError", "ValueError", ""], (
            f"On rank {rank}, the pipelines [[0, 1], [1, 0]], [[0, 0]] and [[0, 1]] ended with {errors}."
        )
