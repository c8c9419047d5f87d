"""Public tests of exercise `pipedream`."""

from assignments.ch05_pipeline_parallelism import programs_pipedream as programs
from assignments.ch05_pipeline_parallelism.references_pipedream import MEMORY_MARGIN_KB, assert_trains
from course_env.rank_programs import error_types
from grader.harness import assert_matches, exercise


@exercise("pipedream", aspect="equivalence")
def test_stashed_weights(launch):
    """With stashing, stage s works with weights that are p - 1 - s updates old, and holds p - s versions."""
    assert_trains(launch, "stash", 3, 6, version_of=lambda t, s: t - (2 - s), versions=[3, 2, 1])


@exercise("pipedream", aspect="equivalence")
def test_two_versions(launch):
    """PipeDream-2BW works with weights that are one update old on every stage, and holds two versions."""
    assert_trains(launch, "2bw", 3, 6, version_of=lambda t, _: t - 1, versions=[2, 2, 2])


@exercise("pipedream", aspect="equivalence")
def test_flush(launch):
    """With a flush every gradient is taken at the newest weights: that is plain SGD, and one version."""
    assert_trains(launch, "flush", 3, 4, version_of=lambda t, _: t, versions=[1, 1, 1])


@exercise("pipedream", aspect="property")
def test_old_versions_are_let_go(launch):
    """Memory does not grow with the number of batches."""
    shared = {"sizes": [200_000] * 3, "mode": "stash"}
    few, many = (
        launch(programs.train_large, 1, shared={**shared, "num_batches": n}, process_group=False) for n in (4, 40)
    )
    grown = many.max_rss_kb[0] - few.max_rss_kb[0]
    assert grown < MEMORY_MARGIN_KB, (
        f"36 more batches took {grown >> 10} MiB more: let go of a version that is needed no more."
    )
    assert_matches(many["versions"], [3, 2, 1], what="versions")
    assert_matches(few["versions"], [3, 2, 1], what="versions")


@exercise("pipedream", aspect="robustness")
def test_fewer_batches_than_stages(launch):
    """With two batches, no stage of five holds more than two versions, and one stage alone is plain SGD."""
    assert_trains(launch, "stash", 5, 2, version_of=lambda t, s: t - (4 - s), versions=[2, 2, 2, 2, 1])
    assert_trains(launch, "stash", 1, 3, version_of=lambda t, _: t, versions=[1])


@exercise("pipedream", aspect="robustness")
def test_what_cannot_be_trained(launch):
    """Another mode, and no stages, are ValueErrors."""
    calls = [[2, "async"], [2, "STASH"], [0, "stash"], [2, "2bw"]]
    run = launch(programs.refuse, 1, shared={"calls": calls}, process_group=False)
    errors = error_types(run["errors"][0])
    assert errors == ["ValueError", "ValueError", "ValueError", ""], (
        f"(stages, mode) = {calls} ended with {run['errors'][0]}."
    )
