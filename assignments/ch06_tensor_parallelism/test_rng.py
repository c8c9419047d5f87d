"""Public tests of exercise `tp_rng`."""

import pytest
import torch

from assignments.ch06_tensor_parallelism import programs_rng as programs
from assignments.ch06_tensor_parallelism.references_rng import expected, launch_script
from grader.harness import PerRank, assert_matches, assert_raised, exercise


def dropout(region, p, *shape):
    """Return the action of a dropout of normal numbers."""
    return ["dropout", region, torch.randn(shape, dtype=torch.float64), p, torch.randn(shape, dtype=torch.float64)]


@exercise("tp_rng", aspect="equivalence")
def test_streams(launch):
    """All ranks draw the same numbers in a replicated region, and others on each rank in a cut one; both streams go on."""
    actions = [["draw", "replicated", 4], ["draw", "tp", 4], ["draw", "replicated", 4], ["draw", "tp", 4]]
    launch_script(launch, programs, actions, 3)


@exercise("tp_rng", aspect="equivalence")
def test_dropout(launch):
    """tp_dropout drops, scales and sends back the gradient by the mask that the stream gives, again and again."""
    actions = [dropout("replicated", 0.3, 3, 5), dropout("tp", 0.6, 4, 2), dropout("tp", 0.6, 4, 2)]
    launch_script(launch, programs, [*actions, dropout("replicated", 0.3, 3, 5)], 2)


@exercise("tp_rng", aspect="property")
def test_the_default_generator_is_as_it_was(launch):
    """Blocks and dropouts, in any number, leave each rank's default generator where it was, and do not depend on it."""
    more = ["default", 3]
    actions = [more, ["draw", "tp", 3], more, dropout("replicated", 0.5, 2, 2), more, ["draw", "replicated", 3], more]
    launch_script(launch, programs, actions, 2)


@exercise("tp_rng", aspect="property")
def test_recomputation_drops_the_same(launch):
    """After load_state(), forward draws the masks that it drew after state(), as often as it is done anew."""
    layers = [dropout("tp", 0.4, 3, 3), dropout("replicated", 0.2, 3, 3)]
    actions = [
        ["draw", "tp", 2],
        ["save", "a"],
        *layers,
        ["draw", "tp", 5],
        ["load", "a"],
        *layers,
        ["load", "a"],
        *layers,
    ]
    launch_script(launch, programs, actions, 2)


@exercise("tp_rng", aspect="robustness")
def test_ranks_that_draw_unequally(launch):
    """A rank that draws more from its own stream or outside draws the same as all others in a replicated region."""
    actions = [
        [["draw", "tp", 3 * rank + 1], ["default", rank + 1], ["draw", "replicated", 4], ["draw", "tp", 2]]
        for rank in range(3)
    ]
    launch_script(launch, programs, PerRank(actions), 3)


@exercise("tp_rng", aspect="robustness")
def test_a_block_that_an_exception_ends(launch):
    """After an exception the default generator is as it was, and the stream goes on after what was drawn."""
    actions = [["default", 2], ["raise", "tp", 3], ["default", 2], ["draw", "tp", 3]]
    launch_script(launch, programs, actions, 2)


@exercise("tp_rng", aspect="robustness")
@pytest.mark.parametrize("p", [0.0, 1.0])
def test_nothing_or_all_is_dropped(launch, p):
    """With p = 0 all elements stay, with p = 1 none does, and the stream goes on as with any other p."""
    launch_script(launch, programs, [dropout("tp", p, 2, 3), ["draw", "tp", 3]], 2)


@exercise("tp_rng", aspect="robustness")
def test_what_is_not_there_is_refused(launch):
    """Another region, or a p that is no probability, raises ValueError, and nothing has been drawn."""
    x = torch.ones(2, 3, dtype=torch.float64)
    calls = {"fork('sharded')": "sharded", "tp_dropout with p=1.5": [1.5, "tp"], "tp_dropout with p=-0.1": [-0.1, "tp"]}
    calls["tp_dropout with region='TP'"] = [0.5, "TP"]
    run = launch(programs.refusals, 2, shared={"seed": 5, "x": x, "calls": list(calls.values()), "region": "tp"})
    for at, words in enumerate(calls):
        assert_raised([errors[at] for errors in run["errors"]], words)
    big = 1e3 * x  # tanh(1000) is 1
    due = [expected(5, 0, rank, [["dropout", "tp", big, 0.5, x]])[0][0] for rank in range(2)]
    assert_matches(run["y"], PerRank(due), what="the next dropout")
