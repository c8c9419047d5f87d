"""Hidden tests of exercise `split_by_color`."""

import pytest
import torch

from assignments.ch02_distributed_programming import programs
from assignments.ch02_distributed_programming.references_split import as_seen_by, assert_made_together
from grader.harness import PerRank, assert_matches, exercise


def members_by_rank(parents, colors, keys):
    """Return for every rank the members of its new group in order, None for color -1; `parents` likewise."""
    return [
        None
        if color == -1
        else sorted((other for other in parent if colors[other] == color), key=lambda other: keys[other])
        for parent, color in zip(parents, colors, strict=True)
    ]


def as_seen_by_all(members):
    """Return what every rank must see of its own group."""
    return PerRank(None if group is None else as_seen_by(group, rank) for rank, group in enumerate(members))


def drawn(low, high, count):
    """Return `count` integers from `low` to `high` - 1."""
    return torch.randint(low, high, (count,)).tolist()


@exercise("split_by_color", aspect="equivalence")
@pytest.mark.parametrize("world_size", [1, 3, 8])
def test_drawn_splits_in_sequence(launch, world_size):
    """Four random splits, with ranks that join nothing and with equal and negative keys, are all usable at the end."""
    colors = [drawn(-1, 3, 4) for _ in range(world_size)]
    keys = [drawn(-2, 3, 4) for _ in range(world_size)]
    run = launch(programs.split_in_sequence, world_size, per_rank={"colors": colors, "keys": keys})
    everybody = [list(range(world_size))] * world_size
    splits = [
        as_seen_by_all(members_by_rank(everybody, [row[k] for row in colors], [row[k] for row in keys]))
        for k in range(4)
    ]
    assert_matches(run["parts"], PerRank([part[rank] for part in splits] for rank in range(world_size)))


@exercise("split_by_color", aspect="property")
def test_no_group_is_made_but_those_asked_for(launch):
    """Of five ranks one joins nothing and three colors make three groups, which every rank makes, in one order."""
    colors, keys = [3, 0, -1, 3, 1], drawn(-2, 3, 5)
    given = {"colors": [[color] for color in colors], "keys": [[key] for key in keys]}
    run = launch(programs.split_in_sequence, 5, per_rank=given)
    members = as_seen_by_all(members_by_rank([list(range(5))] * 5, colors, keys))
    assert_matches(run["parts"], PerRank([members[rank]] for rank in range(5)))
    assert_made_together(run.comm, [(colors, keys)])


@exercise("split_by_color", aspect="property")
def test_equal_keys_keep_the_order_of_the_group(launch):
    """A group made in reverse order and split again with equal keys stays in reverse order."""
    given = {"color": [0] * 4, "key": [3, 2, 1, 0], "second_color": [0, 1, 0, 0], "second_key": [5] * 4}
    run = launch(programs.split_twice, 4, per_rank=given)
    first = members_by_rank([[0, 1, 2, 3]] * 4, given["color"], given["key"])
    second = members_by_rank(first, given["second_color"], given["second_key"])
    assert_matches(run["part"], as_seen_by_all(first))
    assert_matches(run["second_part"], as_seen_by_all(second))


@exercise("split_by_color", aspect="property")
def test_parts_are_split_side_by_side(launch):
    """One call splits two disjoint groups; the same color in both makes two groups, not one."""
    given = {"color": [0, 1, 0, 1], "key": [0, 0, 1, 1], "second_color": [7, 7, 7, 7], "second_key": [2, 1, 1, 2]}
    run = launch(programs.split_twice, 4, per_rank=given)
    first = members_by_rank([[0, 1, 2, 3]] * 4, given["color"], given["key"])
    assert_matches(run["second_part"], as_seen_by_all(members_by_rank(first, [7] * 4, given["second_key"])))


@exercise("split_by_color", aspect="robustness")
def test_a_rank_without_a_group_passes_minus_one(launch):
    """A rank that joined nothing in the first split takes part in the second one without disturbing it."""
    given = {"color": [0, -1, 0, 0], "key": [2, 0, 1, 0], "second_color": [4, -1, 4, -1], "second_key": [9, -9, 9, 0]}
    run = launch(programs.split_twice, 4, per_rank=given)
    first = members_by_rank([[0, 1, 2, 3]] * 4, given["color"], given["key"])
    assert_matches(run["second_part"], as_seen_by_all(members_by_rank(first, [4, -1, 4, -1], given["second_key"])))


@exercise("split_by_color", aspect="robustness")
def test_all_ranks_may_join_nothing(launch):
    """If every color is -1, every rank gets None, and a later split works."""
    run = launch(programs.split_in_sequence, 3, shared={"colors": [-1, 0], "keys": [0, 0]})
    assert_matches(run["parts"], PerRank([None, as_seen_by([0, 1, 2], rank)] for rank in range(3)))


@exercise("split_by_color", aspect="robustness")
def test_large_colors_and_keys(launch):
    """Colors and keys are numbers, not indices: they may be huge and far apart."""
    given = {"colors": [[10**12], [0], [10**12]], "keys": [[2**40], [0], [-(2**40)]]}
    run = launch(programs.split_in_sequence, 3, per_rank=given)
    expected = [as_seen_by([2, 0], 0), as_seen_by([1], 1), as_seen_by([2, 0], 2)]
    assert_matches(run["parts"], PerRank([part] for part in expected))


@exercise("split_by_color", aspect="robustness")
def test_a_group_in_an_order_of_its_own_is_split(launch):
    """The group 3, 0, 2 is split by global members, and equal keys keep that order."""
    given = {"color": [0, 0, 1, 0], "key": [0, 0, 0, 0]}
    run = launch(programs.split_members, 4, per_rank=given, shared={"members": [3, 0, 2]})
    assert_matches(run["part"], as_seen_by_all([[3, 0], None, [2], [3, 0]]))
