"""Hidden tests of exercise `tp_rng`."""

import torch

from assignments.ch06_tensor_parallelism import programs_rng as programs
from assignments.ch06_tensor_parallelism.references_rng import launch_script
from grader.harness import exercise


def dropout(region, p, *shape):
    """Return the action of a dropout of normal numbers."""
    return ["dropout", region, torch.randn(shape, dtype=torch.float64), p, torch.randn(shape, dtype=torch.float64)]


@exercise("tp_rng", aspect="equivalence")
def test_another_seed_on_four_ranks(launch):
    """Streams depend on the seed as the contract says, and on nothing else."""
    actions = [["draw", "tp", 3], ["draw", "replicated", 3], dropout("tp", 0.25, 7), ["draw", "replicated", 3]]
    launch_script(launch, programs, actions, 4, seed=123456)


@exercise("tp_rng", aspect="equivalence")
def test_a_block_within_a_block(launch):
    """A block of the other region may be opened inside, and both streams go on where they were."""
    actions = [["nested", "tp", "replicated", 2], ["default", 2], ["nested", "replicated", "tp", 2], ["draw", "tp", 2]]
    launch_script(launch, programs, actions, 2)


@exercise("tp_rng", aspect="property")
def test_states_are_copies(launch):
    """Two saved states stay what they were, whatever is drawn and loaded after them, in any order."""
    draws = [["draw", "tp", 3], ["draw", "replicated", 2]]
    actions = [["save", "a"], *draws, ["save", "b"], *draws, ["load", "a"], *draws, *draws, ["load", "b"], *draws]
    launch_script(launch, programs, [*actions, ["load", "a"], *draws, ["load", "a"], ["default", 3], *draws], 2)


@exercise("tp_rng", aspect="robustness")
def test_two_groups_side_by_side(launch):
    """The number of a rank is that in its group: ranks 2 and 0 draw as ranks 1 and 3 do."""
    groups = [[2, 0], [1, 3]]
    actions = [["draw", "tp", 3], ["draw", "replicated", 3], dropout("tp", 0.5, 4)]
    launch_script(launch, programs, actions, 4, groups=groups, ranks=[1, 0, 0, 1])


@exercise("tp_rng", aspect="robustness")
def test_many_exceptions(launch):
    """Exceptions in both regions, one after the other, leave everything in order."""
    actions = [["raise", "replicated", 2], ["raise", "tp", 1], ["raise", "tp", 2], ["default", 2]]
    launch_script(launch, programs, [*actions, ["nested", "tp", "replicated", 1], ["default", 2]], 2)
