"""Baselines and assertions that the public and the hidden tests of split.py share."""

from collections import Counter

from grader.harness import assert_matches


def as_seen_by(members, rank):
    """Return what `rank` must see of its new group: the members in order, and its own place among them.

    `met` is the order in which an all-gather inside the group returns the ranks, `first` the rank whose value a
    broadcast from group rank 0 delivers.
    """
    return {"members": members, "group_rank": members.index(rank), "met": members, "first": members[0]}


def assert_parts(parts, expected):
    """Compare what every rank sees of its new group with what it must see; None for a rank that joins nothing."""
    for rank, (part, due) in enumerate(zip(parts, expected, strict=True)):
        assert not (due is None and isinstance(part, str)), (
            f"Rank {rank} has color -1 and got {part}, torch's mark for who is not a member of a group. Return None."
        )
        assert due is not None or part is None, (
            f"Rank {rank} has color -1 and got a group of ranks {part['members']}. A rank that joins nothing gets None."
        )
    assert_matches(parts, expected)


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
