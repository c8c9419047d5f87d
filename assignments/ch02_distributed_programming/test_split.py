"""Public tests of exercise `split_by_color`."""

import pytest

from assignments.ch02_distributed_programming import programs
from assignments.ch02_distributed_programming.references_split import (
    as_seen_by,
    assert_made_together,
    assert_parts,
    new_groups,
)
from grader.harness import PerRank, assert_matches, exercise


def everybodys_part(colors, keys):
    """Return for every rank what it must see of its group after a split of all ranks."""
    group_of = {rank: [*group] for group in new_groups(colors, keys) for rank in group}
    return PerRank(as_seen_by(group_of[rank], rank) if rank in group_of else None for rank in range(len(colors)))


def split(launch, colors, keys):
    """Split the group of all ranks once and return what every rank sees of its part."""
    given = {"colors": [[color] for color in colors], "keys": [[key] for key in keys]}
    run = launch(programs.split_in_sequence, len(colors), per_rank=given)
    return PerRank(parts[0] for parts in run["parts"])


@exercise("split_by_color", aspect="equivalence")
@pytest.mark.parametrize("colors", [[0], [0, 1], [0, 0, 1, 1], [1, 0, 1]])
def test_ranks_of_one_color_are_together(launch, colors):
    """Ranks with the same color form a group, in the order of their ranks if all keys are equal."""
    keys = [0] * len(colors)
    assert_parts(split(launch, colors, keys), everybodys_part(colors, keys))


@exercise("split_by_color", aspect="equivalence")
def test_the_key_orders_the_group(launch):
    """The rank with the smallest key becomes group rank 0."""
    colors, keys = [0, 1, 0, 0], [30, 5, 10, 20]
    assert_parts(split(launch, colors, keys), everybodys_part(colors, keys))


@exercise("split_by_color", aspect="property")
def test_overlapping_groups_live_side_by_side(launch):
    """Rows, columns and a third split of a 2 x 2 layout can all be used after all have been made."""
    splits = [([0, 0, 1, 1], [0, 1, 2, 3]), ([0, 1, 0, 1], [3, 2, 1, 0]), ([4, 2, 2, 4], [0, 0, 0, 0])]
    given = {
        "colors": [[colors[rank] for colors, _ in splits] for rank in range(4)],
        "keys": [[keys[rank] for _, keys in splits] for rank in range(4)],
    }
    run = launch(programs.split_in_sequence, 4, per_rank=given)
    expected = [everybodys_part(colors, keys) for colors, keys in splits]
    assert_matches(run["parts"], PerRank([part[rank] for part in expected] for rank in range(4)))
    assert_made_together(run.comm, splits)


@exercise("split_by_color", aspect="robustness")
def test_color_minus_one_joins_nothing(launch):
    """A rank with color -1 gets None and does not hold up the others."""
    colors, keys = [0, -1, 0], [0, 0, 0]
    assert_parts(split(launch, colors, keys), everybodys_part(colors, keys))


@exercise("split_by_color", aspect="robustness")
def test_a_sub_group_can_be_split(launch):
    """The group of ranks 1, 2 and 3 is cut in two, and rank 0, which is not in it, gets None."""
    given = {"color": [0, 0, 1, 0], "key": [0, 2, 0, 1]}
    run = launch(programs.split_members, 4, per_rank=given, shared={"members": [1, 2, 3]})
    expected = [None, as_seen_by([3, 1], 1), as_seen_by([2], 2), as_seen_by([3, 1], 3)]
    assert_parts(run["part"], PerRank(expected))


@exercise("split_by_color", aspect="robustness")
@pytest.mark.parametrize("color", [0, 3])
def test_who_joins_nothing_may_pass_anything(launch, color):
    """With color -1 the group does not matter: a rank outside passes what `dist.new_group` gave it, and any key."""
    given = {"color": [-1, color, color, color], "key": [-7, 2, 1, 0]}
    run = launch(programs.split_members_as_they_are, 4, per_rank=given, shared={"members": [1, 2, 3]})
    expected = [None, *(as_seen_by([3, 2, 1], rank) for rank in (1, 2, 3))]
    assert_parts(run["part"], PerRank(expected))
