"""Hidden tests of exercise `ring_attention`."""

import torch

from assignments.ch06_tensor_parallelism import programs_ring_attention as programs
from assignments.ch06_tensor_parallelism.references_ring_attention import (
    HEADS,
    LONG,
    TOKENS,
    assert_little_memory,
    assert_right,
    assert_traffic,
    cases_of,
    long_sums,
    whole_case,
)
from course_env.rank_programs import call_each
from grader.harness import PerRank, assert_each_returns, assert_matches, exercise


@exercise("ring_attention", aspect="equivalence")
def test_every_token_is_somewhere(launch):
    """For many sizes the ranks' positions are all positions, each once, in halves that mirror each other."""
    calls = [
        {"length": 2 * size * width, "rank": rank, "size": size, "layout": layout}
        for size in (1, 2, 5)
        for width in (1, 3)
        for layout in ["contiguous", "zigzag"]
        for rank in range(size)
    ]
    due = []
    for call in calls:
        pieces = torch.arange(call["length"]).chunk(2 * call["size"])
        numbers = (2 * call["rank"], 2 * call["rank"] + 1)
        if call["layout"] == "zigzag":
            numbers = (call["rank"], -1 - call["rank"])
        due.append(torch.cat([pieces[number] for number in numbers]))
    run = launch(call_each, 1, shared={"function": "token_positions", "calls": calls})
    assert_each_returns(run, "token_positions", calls, due)


@exercise("ring_attention", aspect="equivalence")
def test_four_ranks(launch):
    """On 4 ranks both layouts, with shared heads and batches, give the results and gradients of one process."""
    cases = [
        whole_case(4, 2, heads=4, kv_heads=2, batch=2, causal=True, layout="zigzag"),
        whole_case(4, 3, heads=2, kv_heads=1, causal=True),
        whole_case(4, 2, causal=False, layout="zigzag"),
    ]
    assert_right(launch(programs.attend, 4, per_rank={"cases": cases_of(cases, 4)}), cases, 4)


@exercise("ring_attention", aspect="property")
def test_only_shared_heads_travel(launch):
    """With 8 query heads and one key head, one key head travels; no tensor of scores does."""
    cases = [whole_case(3, 8, heads=8, kv_heads=1, causal=True, layout="zigzag")]
    run = launch(programs.attend, 3, per_rank={"cases": cases_of(cases, 3)})
    assert_right(run, cases, 3)
    assert_traffic(run.comm, 2 * 8 * 3, [0, 1, 2])


@exercise("ring_attention", aspect="property")
def test_scores_are_never_all_there(launch):
    """Over a long sequence a rank takes memory for a few blocks of scores, and not for its queries with all keys."""
    shared = {"tokens": TOKENS, "heads": HEADS}
    run = launch(programs.long_sequence, LONG, shared=shared, per_rank={"seed": list(range(LONG))})
    assert_matches(run["sum"], PerRank(long_sums(LONG)), what="sum of squares of the result")
    assert_little_memory(launch, run, LONG)


@exercise("ring_attention", aspect="robustness")
def test_two_groups_side_by_side(launch):
    """Ranks 3, 0 and 2, in this order, are one ring; rank 1 is alone."""
    groups = [[3, 0, 2], [1]]
    cases = [[whole_case(3, 2, causal=True, layout="zigzag")], [whole_case(1, 2, causal=True, layout="zigzag")]]
    parts = [cases_of(cases[0], 3), cases_of(cases[1], 1)]
    per_rank = {"cases": [parts[0][1], parts[1][0], parts[0][2], parts[0][0]]}
    run = launch(programs.attend, 4, per_rank=per_rank, shared={"groups": groups})
    for number, members in enumerate(groups):
        assert_right(run, cases[number], len(members), members)
    assert_traffic(run.comm, 2 * 2 * 2 * 3, groups[0])


@exercise("ring_attention", aspect="robustness")
def test_one_rank(launch):
    """A ring of one rank sends nothing, and is attention."""
    cases = [whole_case(1, 5), whole_case(1, 4, heads=4, kv_heads=1, causal=True, layout="zigzag")]
    run = launch(programs.attend, 1, per_rank={"cases": cases_of(cases, 1)})
    assert_right(run, cases, 1)
