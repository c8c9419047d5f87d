"""Mistakes of rank: the right numbers stand on another rank, or only on some ranks, or only in a rank's own part.

Each function yields what a Case would hold had the mistake been made, or a sentence where the mistake shows as a fact.
"""

import math
from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from grader.harness.compare.compared import Compared, same
from grader.harness.compare.hypothesis import Case, Explanation, Hypothesis, is_telling
from grader.harness.mistake import Mistake
from grader.harness.wording import listed

FEWEST_ENTRIES = 4  # fewer wrong entries are read faster than a sentence about them
MOSTLY = 0.5  # a slice is wrong, not hit by chance, from this share of its entries on

Run = tuple[int, int]


def ranks_mixed_up(case: Case) -> Iterator[Hypothesis]:
    """Look for ranks that hold another rank's values."""
    sources = {one.rank: [other.rank for other in case.ranks if _holds(one, other)] for one in case.wrong}
    if not all(sources.values()):
        return
    chosen, sentence = _who_holds_what(sources, case.world_size)
    due = {other.rank: other.expected for other in case.ranks}
    arrangements = math.log2(len(case.ranks))
    yield Hypothesis(
        sentence=sentence,
        mistake=Mistake.OTHER_RANK,
        predict=lambda one: due[chosen[one.rank]],
        arrangements=arrangements,
    )


def _holds(one: Compared, other: Compared) -> bool:
    return one is not other and same(one.actual, other.expected, one.bound)


def _who_holds_what(sources: dict[int, list[int]], world_size: int) -> tuple[dict[int, int], str]:
    """Return which rank's values each wrong rank holds, and the simplest way to say it."""
    ranks = list(sources)
    common = set.intersection(*map(set, sources.values()))
    if common and len(ranks) > 1:
        one = min(common)
        return dict.fromkeys(
            ranks, one
        ), f"All wrong ranks hold what rank {one} should: sent to all instead of dealt out?"
    mirror = dict(zip(ranks, reversed(ranks), strict=True))
    if all(mirror[rank] in sources[rank] for rank in ranks):
        return mirror, f"Ranks are swapped: {_pairs(mirror)}."
    for shift in range(1, world_size if world_size == len(ranks) else 0):
        shifted = {rank: (rank - shift) % world_size for rank in ranks}
        if all(shifted[rank] in sources[rank] for rank in ranks):
            back = f"r - {shift}" if 2 * shift <= world_size else f"r + {world_size - shift}"
            told = f"Every rank r holds what rank {back} (modulo {world_size}) should"
            return shifted, f"{told}: an index that is off, or the wrong direction?"
    chosen = {rank: held[0] for rank, held in sources.items()}
    return chosen, f"Ranks are mixed up: {_pairs(chosen)}."


def _pairs(sources: dict[int, int]) -> str:
    return listed([f"rank {rank} holds what rank {source} should" for rank, source in sources.items()])


def only_local(case: Case) -> Iterator[Hypothesis]:
    """Look for parts that were never reduced: their sum or mean is the reference."""
    first = case.wrong[0]
    everybody = len(case.wrong) == case.world_size > 1
    if not everybody or len({one.actual.shape for one in case.wrong}) > 1:
        return
    if all(same(one.actual, first.actual, first.bound) for one in case.wrong):
        return  # replicas have communicated; a factor is what is wrong
    total = torch.stack([one.actual for one in case.wrong]).sum(0)
    for count, combined in ((1, "sum"), (case.world_size, "mean")):
        told = (
            f"The reference is the {combined} of what the ranks hold: each kept its own part, an all-reduce is missing?"
        )
        yield Hypothesis(
            sentence=told,
            mistake=Mistake.NOT_REDUCED,
            predict=partial(_rest_of, total=total, count=count),
            slack=float(case.world_size),
        )


def _rest_of(one: Compared, total: Tensor, count: int) -> Tensor:
    return count * one.expected - (total - one.actual)


def own_block(case: Case) -> Iterator[Explanation]:
    """Look for each rank right in its own block of a whole that all should hold."""
    if len(case.wrong) != case.world_size or case.world_size == 1:
        return
    for dim in range(case.ndim):
        runs = [_right_run(one, dim) for one in case.wrong]
        if all(
            run and run in _blocks(one.expected.shape[dim], one.rank, case.world_size)
            for one, run in zip(case.wrong, runs, strict=True)
        ):
            told = f"Each rank is right only in its own block along dim {dim}: an all-gather is missing?"
            yield Explanation(told, Mistake.NOT_GATHERED)


def right_block(case: Case) -> Iterator[Explanation]:
    """Look for one contiguous block right and the rest wrong, or the reverse."""
    for dim in range(case.ndim if case.num_wrong >= FEWEST_ENTRIES else 0):
        right = [_right_run(one, dim) for one in case.wrong]
        wrong = [_wrong_run(one, dim) for one in case.wrong]
        if all(wrong) and (not all(right) or _entries(wrong) < _entries(right)):
            yield Explanation(f"Along dim {dim} only {_told(case, wrong, dim)} is wrong.", Mistake.ONE_BLOCK)
        elif all(right):
            yield Explanation(f"Along dim {dim} only {_told(case, right, dim)} is right.", Mistake.ONE_BLOCK)


def single_right_rank(case: Case) -> Iterator[Explanation]:
    """Look for one rank right where all should hold the same."""
    right = [one for one in case.ranks if not one.where.numel()]
    alike = all(same(one.expected, case.ranks[0].expected, one.bound) for one in case.ranks)
    if len(right) == 1 and len(case.wrong) > 1 and alike and is_telling(right[0].expected, right[0].bound):
        cause = "a result that was not sent to the others, or a step taken there alone?"
        yield Explanation(f"Only rank {right[0].rank} is right: {cause}", Mistake.ONE_RANK)


def _right_run(one: Compared, dim: int) -> Run | None:
    """Return the one run of right slices along `dim`, if the others are mostly wrong and it is not right by chance."""
    wrong = one.wrong_along(dim)
    run = _single_run(wrong == 0)
    if run is None or bool(wrong[wrong > 0].mean() < MOSTLY):
        return None
    return run if is_telling(one.expected.narrow(dim, run[0], run[1] - run[0]), one.bound) else None


def _wrong_run(one: Compared, dim: int) -> Run | None:
    """Return the one run of wrong slices along `dim`, under the same two conditions."""
    wrong = one.wrong_along(dim)
    run = _single_run(wrong > 0)
    if run is None or bool(wrong[wrong > 0].mean() < MOSTLY):
        return None
    rest = one.expected.index_select(dim, (wrong == 0).nonzero()[:, 0])
    return run if is_telling(rest, one.bound) else None


def _single_run(chosen: Tensor) -> Run | None:
    """Return where the chosen slices begin and end, if they are contiguous and neither none nor all."""
    places = chosen.nonzero()[:, 0].tolist()
    if not 0 < len(places) < len(chosen) or places[-1] - places[0] + 1 != len(places):
        return None
    return places[0], places[-1] + 1


def _entries(runs: Sequence[Run | None]) -> int:
    return sum(run[1] - run[0] for run in runs if run)


def _told(case: Case, runs: Sequence[Run | None], dim: int) -> str:
    named = [_named(one, run, dim, case.world_size) for one, run in zip(case.wrong, runs, strict=True) if run]
    if len(set(named)) == 1:
        return named[0]
    return listed([f"{name} on rank {one.rank}" for one, name in zip(case.wrong, named, strict=True)])


def _named(one: Compared, run: Run, dim: int, count: int) -> str:
    """Return a run as a slice, and as a block's number where it is one of `count` blocks."""
    size = one.expected.shape[dim]
    block = next((b for b in range(count) if count > 1 and run in _blocks(size, b, count)), None)
    return f"[{run[0]}:{run[1]}]" + ("" if block is None else f" (block {block} of {count})")


def _blocks(size: int, block: int, count: int) -> list[Run]:
    """Return where block number `block` of `count` lies, in torch's two ways to cut unevenly."""
    cuts = (torch.arange(size).tensor_split(count), torch.arange(size).chunk(count))
    return [(int(cut[block][0]), int(cut[block][-1]) + 1) for cut in cuts if block < len(cut) and cut[block].numel()]
