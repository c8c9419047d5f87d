"""Mistakes of rank: the right numbers are on another rank, on some ranks only, or in a rank's own part only.

Each function yields what a Case would hold had the mistake been made, or an explanation where the mistake is plain to see.
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
MOSTLY = 0.5  # a slice is wrong, not hit by chance, if at least this share of its entries is wrong

Run = tuple[int, int]  # the first slice, and the one after the last


def ranks_mixed_up(case: Case) -> Iterator[Hypothesis]:
    """Look for ranks that hold another rank's values."""
    sources = {
        compared.rank: [other.rank for other in case.ranks if _holds(compared, other)] for compared in case.wrong
    }
    if not all(sources.values()):
        return
    chosen, sentence = _who_holds_what(sources, case.world_size)
    expected = {other.rank: other.expected for other in case.ranks}
    arrangements = math.log2(len(case.ranks))
    yield Hypothesis(
        sentence=sentence,
        mistake=Mistake.OTHER_RANK,
        predict=lambda compared: expected[chosen[compared.rank]],
        arrangements=arrangements,
    )


def _holds(compared: Compared, other: Compared) -> bool:
    return compared is not other and same(compared.actual, other.expected, compared.bound)


def _who_holds_what(sources: dict[int, list[int]], world_size: int) -> tuple[dict[int, int], str]:
    """Return which rank's values each wrong rank holds, and the simplest way to say it."""
    ranks = list(sources)
    common = set.intersection(*map(set, sources.values()))
    if common and len(ranks) > 1:
        source = min(common)
        sentence = f"All wrong ranks hold what rank {source} should: sent to all instead of dealt out?"
        return dict.fromkeys(ranks, source), sentence
    mirror = dict(zip(ranks, reversed(ranks), strict=True))
    if all(mirror[rank] in sources[rank] for rank in ranks):
        return mirror, f"Ranks are swapped: {_pairs(mirror)}."
    for shift in range(1, world_size if world_size == len(ranks) else 0):
        shifted = {rank: (rank - shift) % world_size for rank in ranks}
        if all(shifted[rank] in sources[rank] for rank in ranks):
            back = f"r - {shift}" if 2 * shift <= world_size else f"r + {world_size - shift}"
            sentence = (
                f"Every rank r holds what rank {back} (modulo {world_size}) should: "
                "an index that is off, or the wrong direction?"
            )
            return shifted, sentence
    chosen = {rank: candidates[0] for rank, candidates in sources.items()}
    return chosen, f"Ranks are mixed up: {_pairs(chosen)}."


def _pairs(sources: dict[int, int]) -> str:
    return listed([f"rank {rank} holds what rank {source} should" for rank, source in sources.items()])


def only_local(case: Case) -> Iterator[Hypothesis]:
    """Look for parts that were never reduced: their sum or mean would be the reference."""
    first = case.wrong[0]
    all_are_wrong = len(case.wrong) == case.world_size > 1
    if not all_are_wrong or len({compared.actual.shape for compared in case.wrong}) > 1:
        return
    if all(same(compared.actual, first.actual, first.bound) for compared in case.wrong):
        return  # replicas have communicated: what is wrong is a factor
    total = torch.stack([compared.actual for compared in case.wrong]).sum(0)
    for count, combined in ((1, "sum"), (case.world_size, "mean")):
        sentence = (
            f"The reference is the {combined} of what the ranks hold: each holds its own part, which was never reduced over the "
            "ranks. If your code does reduce, it reduces something else, or at another time."
        )
        yield Hypothesis(
            sentence=sentence,
            mistake=Mistake.NOT_REDUCED,
            predict=partial(_rest_of, total=total, count=count),
            slack=float(case.world_size),
        )


def _rest_of(compared: Compared, total: Tensor, count: int) -> Tensor:
    return count * compared.expected - (total - compared.actual)


def reduced(case: Case) -> Iterator[Hypothesis]:
    """Look for values that were reduced though every rank should hold its own: their sum or mean is what the ranks hold."""
    if len(case.ranks) == 1 or len({compared.expected.shape for compared in case.ranks}) > 1:
        return
    total = torch.stack([compared.expected for compared in case.ranks]).sum(0)
    for count, combined in ((1, "sum"), (len(case.ranks), "mean")):
        yield Hypothesis(
            sentence=f"Yours is the {combined} of what the ranks should hold: each keeps its own, so nothing is to be reduced here.",
            mistake=Mistake.REDUCED,
            predict=partial(_combined, whole=total / count),
            slack=float(len(case.ranks)),
        )


def _combined(_compared: Compared, whole: Tensor) -> Tensor:
    return whole


def own_block(case: Case) -> Iterator[Explanation]:
    """Look for each rank right in its own block of a whole that all should hold."""
    if len(case.wrong) != case.world_size or case.world_size == 1:
        return
    for dim in range(case.ndim):
        runs = [_right_run(compared, dim) for compared in case.wrong]
        if all(
            run and run in _blocks(compared.expected.shape[dim], compared.rank, case.world_size)
            for compared, run in zip(case.wrong, runs, strict=True)
        ):
            sentence = f"Each rank is right only in its own block along dim {dim}: an all-gather is missing?"
            yield Explanation(sentence, Mistake.NOT_GATHERED)


def right_block(case: Case) -> Iterator[Explanation]:
    """Look for one contiguous block right and the rest wrong, or the reverse."""
    for dim in range(case.ndim if case.num_wrong >= FEWEST_ENTRIES else 0):
        right = [_right_run(compared, dim) for compared in case.wrong]
        wrong = [_wrong_run(compared, dim) for compared in case.wrong]
        if all(wrong) and (not all(right) or _entries(wrong) < _entries(right)):
            yield Explanation(f"Along dim {dim} only {_runs_text(case, wrong, dim)} is wrong.", Mistake.ONE_BLOCK)
        elif all(right):
            yield Explanation(f"Along dim {dim} only {_runs_text(case, right, dim)} is right.", Mistake.ONE_BLOCK)


def single_right_rank(case: Case) -> Iterator[Explanation]:
    """Look for one rank right where all should hold the same."""
    right = [compared for compared in case.ranks if not compared.where.numel()]
    alike = all(same(compared.expected, case.ranks[0].expected, compared.bound) for compared in case.ranks)
    if len(right) == 1 and len(case.wrong) > 1 and alike and is_telling(right[0].expected, right[0].bound):
        cause = "a result that was not sent to the others, or a step taken there alone?"
        yield Explanation(f"Only rank {right[0].rank} is right: {cause}", Mistake.ONE_RANK)


def _right_run(compared: Compared, dim: int) -> Run | None:
    """Return the one run of right slices along `dim`, if the others are mostly wrong and it is not right by chance."""
    wrong = compared.wrong_along(dim)
    run = _single_run(wrong == 0)
    if run is None or bool(wrong[wrong > 0].mean() < MOSTLY):
        return None
    return run if is_telling(compared.expected.narrow(dim, run[0], run[1] - run[0]), compared.bound) else None


def _wrong_run(compared: Compared, dim: int) -> Run | None:
    """Return the one run of wrong slices along `dim`, under the same two conditions."""
    wrong = compared.wrong_along(dim)
    run = _single_run(wrong > 0)
    if run is None or bool(wrong[wrong > 0].mean() < MOSTLY):
        return None
    rest = compared.expected.index_select(dim, (wrong == 0).nonzero()[:, 0])
    return run if is_telling(rest, compared.bound) else None


def _single_run(chosen: Tensor) -> Run | None:
    """Return the run of the chosen slices if they are contiguous, and neither none nor all."""
    indices = chosen.nonzero()[:, 0].tolist()
    if not 0 < len(indices) < len(chosen) or indices[-1] - indices[0] + 1 != len(indices):
        return None
    return indices[0], indices[-1] + 1


def _entries(runs: Sequence[Run | None]) -> int:
    return sum(run[1] - run[0] for run in runs if run)


def _runs_text(case: Case, runs: Sequence[Run | None], dim: int) -> str:
    texts = [
        _run_text(compared, run, dim, case.world_size) for compared, run in zip(case.wrong, runs, strict=True) if run
    ]
    if len(set(texts)) == 1:
        return texts[0]
    return listed([f"{text} on rank {compared.rank}" for compared, text in zip(case.wrong, texts, strict=True)])


def _run_text(compared: Compared, run: Run, dim: int, count: int) -> str:
    """Return a run as a slice, and as a block if it is one of `count` blocks."""
    size = compared.expected.shape[dim]
    block = next((b for b in range(count) if count > 1 and run in _blocks(size, b, count)), None)
    return f"[{run[0]}:{run[1]}]" + ("" if block is None else f" (block {block} of {count})")


def _blocks(size: int, block: int, count: int) -> list[Run]:
    """Return where block `block` of `count` lies, in both of torch's ways to cut unevenly."""
    cuts = (torch.arange(size).tensor_split(count), torch.arange(size).chunk(count))
    return [(int(cut[block][0]), int(cut[block][-1]) + 1) for cut in cuts if block < len(cut) and cut[block].numel()]
