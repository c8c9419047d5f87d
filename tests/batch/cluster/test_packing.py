"""Items are packed so that every one is sent once, in jobs that are worth their wait."""

import random

import pytest

from grader.cluster.packing import MOST_PACKS, Item, JobLength, pack

SECONDS = {"short": 1.0, "middle": 10.0, "long": 60.0}


def items_of(chapters):
    """Return an item for each chapter."""
    return [Item(f"s{number}", chapter) for number, chapter in enumerate(chapters)]


def packed(items, *, max_jobs=64, worthwhile_s=0.1, longest_s=1e6, alone=()):
    """Return packs of some items."""
    length = JobLength(worthwhile_s=worthwhile_s, longest_s=longest_s)
    return pack(items, SECONDS, max_jobs=max_jobs, length=length, alone=frozenset(alone))


def length(items):
    """Return how long a job takes, by the estimates."""
    return sum(SECONDS[item.chapter] for item in items)


@pytest.mark.parametrize("seed", range(20))
def test_every_item_is_in_one_pack(seed):
    """For any items, limits and suspects each item is in one pack, no pack is empty, and there are not too many."""
    draw = random.Random(seed)
    items = items_of(draw.choices(list(SECONDS), k=draw.randint(1, 40)))
    max_jobs = draw.randint(1, 12)
    alone = draw.sample(items, k=draw.randint(0, len(items)))

    packs = packed(items, max_jobs=max_jobs, worthwhile_s=draw.choice([0.1, 30, 1000]), alone=alone)

    assert sorted(items) == sorted(item for job in packs for item in job)
    assert 1 <= len(packs) <= max_jobs
    assert all(packs)


def test_small_items_share_a_job_that_is_worth_its_wait():
    """Forty items of a second are one job of half a minute, not forty jobs."""
    assert 1 == len(packed(items_of(["short"] * 40), worthwhile_s=30))


def test_jobs_are_about_equally_long():
    """No job is longer than the shortest by more than one item."""
    packs = packed(items_of(["long", "middle", "short"] * 8), max_jobs=4)

    lengths = [length(job) for job in packs]
    assert 4 == len(packs)
    assert max(lengths) - min(lengths) <= max(SECONDS.values())


def test_a_suspect_is_alone():
    """An item whose job was lost gets a job to itself, so that it cannot cost another item its job again."""
    items = items_of(["short"] * 10)

    packs = packed(items, worthwhile_s=1000, alone=items[:2])

    assert [(items[0],), (items[1],), tuple(items[2:])] == list(packs)


def test_suspects_share_when_there_are_too_few_jobs():
    """If there are more suspects than jobs, one job is still kept for all the rest."""
    items = items_of(["short"] * 10)

    packs = packed(items, max_jobs=3, alone=items[:5])

    assert 3 == len(packs)
    assert [(items[0],), (items[1],)] == list(packs[:2])


def test_a_job_is_not_longer_than_its_limit_lets_it_be():
    """However few jobs may run at a time, none is longer than the limit; the rest of the array waits its turn."""
    packs = packed(items_of(["long"] * 20), max_jobs=2, longest_s=130)

    assert 10 == len(packs)
    assert all(length(job) <= 130 for job in packs)


def test_an_array_is_not_larger_than_clusters_take():
    """A class of any size is one array: instead of too many jobs there are longer ones."""
    packs = packed(items_of(["short"] * 3000), max_jobs=5000)

    assert MOST_PACKS == len(packs)
    assert 3000 == sum(map(len, packs))
