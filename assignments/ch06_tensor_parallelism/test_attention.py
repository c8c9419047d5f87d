"""Public tests of exercise `parallel_attention`."""

import pytest

from assignments.ch06_tensor_parallelism import programs_attention as programs
from assignments.ch06_tensor_parallelism.references_attention import (
    assert_right,
    assert_traffic,
    batches,
    whole_tensors,
)
from grader.harness import assert_matches, assert_raised, exercise

PAIRS = [[0, 1], [2, 3]]


@exercise("parallel_attention", aspect="equivalence")
@pytest.mark.parametrize("sizes", [(12, 4, 4), (12, 4, 2), (16, 8, 4)], ids=["one to one", "grouped", "two groups"])
def test_like_one_process(launch, sizes):
    """Outputs and all gradients are those of attention with all heads in one process."""
    whole, (xs, dys) = whole_tensors(*sizes), batches(sizes[0], (2, 5))
    shared = {"sizes": sizes, "whole": whole, "xs": xs, "dys": dys}
    assert_right(launch(programs.attend, 2, shared=shared), whole, xs, dys, sizes=sizes, size=2)


@exercise("parallel_attention", aspect="equivalence")
def test_fewer_key_heads_than_ranks(launch):
    """With 2 key heads on 4 ranks, pairs of ranks hold one alike, and its gradient is the sum over both; passes add up."""
    sizes, whole, (xs, dys) = (8, 4, 2), whole_tensors(8, 4, 2), batches(8, (2, 3), (1, 4))
    shared = {"sizes": sizes, "whole": whole, "xs": xs, "dys": dys, "kv_groups": PAIRS}
    assert_right(launch(programs.attend, 4, shared=shared), whole, xs, dys, sizes=sizes, size=4)


@exercise("parallel_attention", aspect="equivalence")
def test_without_a_mask(launch):
    """Without causal every token sees all others."""
    sizes, whole, (xs, dys) = (6, 3, 3), whole_tensors(6, 3, 3), batches(6, (2, 4))
    shared = {"sizes": sizes, "whole": whole, "xs": xs, "dys": dys, "causal": False}
    assert_right(launch(programs.attend, 3, shared=shared), whole, xs, dys, sizes=sizes, size=3, causal=False)


@exercise("parallel_attention", aspect="property")
def test_two_all_reduces(launch):
    """One all-reduce of x's size forward and one backward, and nothing else."""
    sizes, whole, (xs, dys) = (6, 6, 3), whole_tensors(6, 6, 3), batches(6, (2, 5), (2, 5))
    shared = {"sizes": sizes, "whole": whole, "xs": xs, "dys": dys}
    run = launch(programs.attend, 3, shared=shared)
    assert_right(run, whole, xs, dys, sizes=sizes, size=3)
    assert_traffic(run.comm, 60)


@exercise("parallel_attention", aspect="property")
def test_shared_heads_are_summed_in_their_own_group(launch):
    """Gradients of a key head that two ranks hold are all-reduced between these two, once, and no more than they are."""
    sizes, whole, (xs, dys) = (8, 4, 2), whole_tensors(8, 4, 2), batches(8, (1, 3))
    shared = {"sizes": sizes, "whole": whole, "xs": xs, "dys": dys, "kv_groups": PAIRS}
    run = launch(programs.attend, 4, shared=shared)
    assert_right(run, whole, xs, dys, sizes=sizes, size=4)
    assert_traffic(run.comm, 24, shared=2 * 2 * 9)


@exercise("parallel_attention", aspect="robustness")
def test_heads_that_cannot_be_cut_are_refused(launch):
    """The constructor raises ValueError for numbers of heads that do not fit d, each other or N, or without a kv_group."""
    bad = {
        "d=10 for 4 heads": [10, 4, 4, False],
        "4 heads that share 3": [12, 4, 3, False],
        "6 heads": [12, 6, 6, False],
        "12 heads that share 6": [24, 12, 6, False],
        "2 key heads and no kv_group": [8, 4, 2, False],
    }
    layers = [*bad.values(), [8, 4, 2, True], [8, 8, 4, False]]
    run = launch(programs.constructions, 4, shared={"layers": layers, "kv_groups": PAIRS})
    for at, words in enumerate(bad):
        assert_raised([errors[at] for errors in run["errors"]], f"ParallelSelfAttention with {words} on 4 ranks")
    due = [
        {"qkv_weight": [6, 8], "qkv_bias": [6], "out_weight": [8, 2], "out_bias": [8]},
        {"qkv_weight": [4, 8], "qkv_bias": [4], "out_weight": [8, 2], "out_bias": [8]},
    ]
    assert_matches(run["shapes"], [None] * len(bad) + due, what="shapes of the parameters")


@exercise("parallel_attention", aspect="robustness")
def test_two_groups_side_by_side(launch):
    """Ranks 3 and 1 hold one layer, ranks 0 and 2 another; each pair shares a key head."""
    groups = [[3, 1], [0, 2]]
    sizes, wholes = (4, 2, 1), [whole_tensors(4, 2, 1) for _ in range(2)]
    data = [batches(4, (2, 3)) for _ in range(2)]
    of = [1, 0, 1, 0]
    per_rank = {
        "whole": [wholes[number] for number in of],
        "xs": [data[number][0] for number in of],
        "dys": [data[number][1] for number in of],
    }
    run = launch(programs.attend, 4, per_rank=per_rank, shared={"sizes": sizes, "groups": groups, "kv_groups": groups})
    for number, members in enumerate(groups):
        assert_right(run, wholes[number], *data[number], sizes=sizes, size=2, members=members)
