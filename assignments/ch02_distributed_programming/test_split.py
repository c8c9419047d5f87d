"""Public tests of exercise `split_by_color`."""

from collections import Counter

import pytest

from assignments.ch02_distributed_programming import programs
from grader.harness import PerRank, assert_matches, exercise


def as_seen_by(members, rank):
    """Return what `rank` must see of its new group: the members in order, and its own place among them.

    `met` is the order in which an all-gather inside the group returns the ranks, `first` the rank whose value a
    broadcast from group rank 0 delivers.
    """
    return {"members": members, "group_rank": members.index(rank), "met": members, "first": members[0]}


def everybodys_part(colors, keys):
    """Return for every rank what it must see of its group after a split of all ranks."""
    group_of = {rank: [*group] for group in new_groups(colors, keys) for rank in group}
    return PerRank(as_seen_by(group_of[rank], rank) if rank in group_of else None for rank in range(len(colors)))


def assert_made_together(comm, splits):
    """Every rank made the groups that the `splits` ask for and no other, all ranks in one order.

    splits: one (colors, keys) of all ranks after another
    """
    made = [comm.groups_made(rank) for rank in range(comm.world_size)]
    for rank, groups in enumerate(made):
        assert groups == made[0], (
            f"Rank 0 made the groups {made[0]}, rank {rank} made {groups}. "
            "Every rank must call dist.new_group for every new group, in one order, its own or not."
        )
    due = Counter(group for colors, keys in splits for group in new_groups(colors, keys))
    surplus = list((Counter(made[0]) - due).elements())
    assert not surplus, f"{len(surplus)} groups were made that nobody asked for, among them {surplus[0]}."
    missing = list((due - Counter(made[0])).elements())
    assert not missing, f"The groups {missing} were asked for and never made."


def new_groups(colors, keys):
    """Return the members of the groups that a split of all ranks asks for, each in its order."""
    ordered = sorted(range(len(colors)), key=lambda rank: (keys[rank], rank))
    return [tuple(rank for rank in ordered if colors[rank] == color) for color in {*colors} - {-1}]


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
    assert_matches(split(launch, colors, keys), everybodys_part(colors, keys))


@exercise("split_by_color", aspect="equivalence")
def test_the_key_orders_the_group(launch):
    """The rank with the smallest key becomes group rank 0."""
    colors, keys = [0, 1, 0, 0], [30, 5, 10, 20]
    assert_matches(split(launch, colors, keys), everybodys_part(colors, keys))


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
    assert_matches(split(launch, colors, keys), everybodys_part(colors, keys))


@exercise("split_by_color", aspect="robustness")
def test_a_sub_group_can_be_split(launch):
    """The group of ranks 1, 2 and 3 is cut in two, and rank 0, which is not in it, gets None."""
    given = {"color": [0, 0, 1, 0], "key": [0, 2, 0, 1]}
    run = launch(programs.split_members, 4, per_rank=given, shared={"members": [1, 2, 3]})
    expected = [None, as_seen_by([3, 1], 1), as_seen_by([2], 2), as_seen_by([3, 1], 3)]
    assert_matches(run["part"], PerRank(expected))
