"""Hidden tests of exercise `pipedream`."""

import pytest

from assignments.ch05_pipeline_parallelism.references_pipedream import assert_trains
from grader.harness import exercise


@exercise("pipedream", aspect="equivalence")
@pytest.mark.parametrize(("p", "num_batches"), [(2, 7), (4, 9)])
def test_other_pipelines(launch, p, num_batches):
    """Pipelines of other lengths train with the versions of the formulas."""
    assert_trains(
        launch, "stash", p, num_batches, version_of=lambda t, s: t - (p - 1 - s), versions=[p - s for s in range(p)]
    )
    assert_trains(launch, "2bw", p, num_batches, version_of=lambda t, _: t - 1, versions=[2] * p)
    assert_trains(launch, "flush", p, num_batches, version_of=lambda t, _: t, versions=[1] * p)


@exercise("pipedream", aspect="property")
def test_the_first_batches(launch):
    """The first updates use version 0 until there are enough, and the versions held grow one by one."""
    assert_trains(launch, "stash", 4, 1, version_of=lambda t, s: t - (3 - s), versions=[1] * 4)
    assert_trains(launch, "stash", 4, 3, version_of=lambda t, s: t - (3 - s), versions=[3, 3, 2, 1])
    assert_trains(launch, "2bw", 4, 1, version_of=lambda t, _: t - 1, versions=[1] * 4)


@exercise("pipedream", aspect="robustness")
def test_no_batches(launch):
    """Without batches the weights are copies of those that came in, and no version was held for a gradient."""
    for mode in ("stash", "2bw", "flush"):
        assert_trains(launch, mode, 2, 0, version_of=lambda t, _: t, versions=[0, 0])
