"""Public tests of exercise `ring_attention`."""

import pytest
import torch

from assignments.ch06_tensor_parallelism import programs_ring_attention as programs
from assignments.ch06_tensor_parallelism.references_ring_attention import (
    assert_little_kept,
    assert_right,
    assert_traffic,
    attention,
    cases_of,
    part,
    whole_case,
)
from course_env.rank_programs import call_each
from grader.harness import PerRank, assert_each_raises, assert_each_returns, assert_matches, assert_raised, exercise


@exercise("ring_attention", aspect="equivalence")
def test_positions(launch):
    """Contiguous parts follow each other; in a zigzag a rank has one part from the front and one from the back."""
    cases = {
        (12, 0, 3, "contiguous"): [0, 1, 2, 3],
        (12, 2, 3, "contiguous"): [8, 9, 10, 11],
        (12, 0, 3, "zigzag"): [0, 1, 10, 11],
        (12, 1, 3, "zigzag"): [2, 3, 8, 9],
        (12, 2, 3, "zigzag"): [4, 5, 6, 7],
        (4, 0, 1, "zigzag"): [0, 1, 2, 3],
    }
    calls = [dict(zip(("length", "rank", "size", "layout"), case, strict=True)) for case in cases]
    run = launch(call_each, 1, shared={"function": "token_positions", "calls": calls})
    assert_each_returns(run, "token_positions", calls, [torch.tensor(due) for due in cases.values()])


@exercise("ring_attention", aspect="equivalence")
@pytest.mark.parametrize("size", [2, 3])
def test_like_attention_over_the_whole_sequence(launch, size):
    """Without a mask, results and gradients of q, k and v are those of the whole sequence."""
    cases = [whole_case(size, 3, batch=2)]
    assert_right(launch(programs.attend, size, per_rank={"cases": cases_of(cases, size)}), cases, size)


@exercise("ring_attention", aspect="equivalence")
@pytest.mark.parametrize("layout", ["contiguous", "zigzag"])
def test_causal(launch, layout):
    """With a causal mask a query sees what stands before it in the sequence, wherever its rank holds it."""
    cases = [whole_case(3, 4, causal=True, layout=layout)]
    assert_right(launch(programs.attend, 3, per_rank={"cases": cases_of(cases, 3)}), cases, 3)


@exercise("ring_attention", aspect="equivalence")
def test_shared_key_heads(launch):
    """Query heads share key and value heads in equal groups."""
    cases = [whole_case(2, 2, heads=6, kv_heads=2), whole_case(2, 2, heads=3, kv_heads=1, causal=True, layout="zigzag")]
    assert_right(launch(programs.attend, 2, per_rank={"cases": cases_of(cases, 2)}), cases, 2)


@exercise("ring_attention", aspect="property")
def test_keys_and_values_go_round_once(launch):
    """Forward takes N - 1 hops to the next rank, backward no more than twice as many and one; nothing is gathered."""
    cases = [whole_case(4, 2, causal=True), whole_case(4, 2)]
    run = launch(programs.attend, 4, per_rank={"cases": cases_of(cases, 4)})
    assert_right(run, cases, 4)
    assert_traffic(run.comm, 2 * 2 * 2 * 3, [0, 1, 2, 3])


@exercise("ring_attention", aspect="property")
def test_all_ranks_send_at_the_same_time(launch):
    """Forward on 4 ranks takes no more than 2 (N - 1) rounds of messages, whatever the number of tokens."""
    case = whole_case(4, 6, causal=True, layout="zigzag")
    parts = [one[0] for one in cases_of([case], 4)]
    per_rank = {name: [one[name] for one in parts] for name in "qkv"}
    run = launch(programs.forward, 4, per_rank=per_rank, shared={"options": case["options"]})
    whole = attention(case["q"], case["k"], case["v"], causal=True)
    assert_matches(run["y"], PerRank(part(whole, rank, 4, "zigzag") for rank in range(4)), what="result")
    run.comm.assert_rounds(6)


@exercise("ring_attention", aspect="robustness")
def test_large_scores(launch):
    """Scores of thousands, of which a later block may hold the greatest, give finite results, and the right ones."""
    cases = [whole_case(3, 4, scale=40.0), whole_case(3, 4, scale=40.0, causal=True, layout="zigzag")]
    run = launch(programs.attend, 3, per_rank={"cases": cases_of(cases, 3)})
    assert_right(run, cases, 3, rtol=1e-8, atol=1e-8)  # digits are lost where large scores cancel


@exercise("ring_attention", aspect="robustness")
def test_what_cannot_be_cut_is_refused(launch):
    """token_positions raises ValueError for lengths that cannot be cut, ranks that are not there, and other layouts."""
    bad = [
        (7, 0, 2, "contiguous"),
        (6, 0, 2, "zigzag"),
        (8, 2, 2, "zigzag"),
        (8, -1, 2, "contiguous"),
        (8, 0, 2, "striped"),
    ]
    calls = [
        dict(zip(("length", "rank", "size", "layout"), case, strict=True)) for case in [*bad, (6, 0, 2, "contiguous")]
    ]
    run = launch(call_each, 1, shared={"function": "token_positions", "calls": calls})
    assert_each_raises(run, "token_positions", calls, ["ValueError"] * len(bad) + [""])
    assert_matches(
        PerRank(values[-1] for values in run["values"]), torch.tensor([0, 1, 2]), what="token_positions(6, 0, 2)"
    )


@exercise("ring_attention", aspect="robustness")
def test_odd_halves_and_odd_heads_are_refused(launch):
    """ring_attention raises ValueError for what it cannot do, and answers what it can."""
    case = whole_case(2, 4, heads=4, kv_heads=3)
    parts = [one[0] for one in cases_of([case], 2)]
    per_rank = {name: [one[name] for one in parts] for name in "qkv"}
    calls = {
        "3 key heads for 4 query heads": [3, 4, {}],
        "3 tokens a rank in a zigzag": [2, 3, {"layout": "zigzag"}],
        "layout='striped'": [2, 4, {"layout": "striped"}],
    }
    run = launch(programs.refusals, 2, per_rank=per_rank, shared={"calls": [*calls.values(), [2, 4, {}]]})
    for at, words in enumerate(calls):
        assert_raised([errors[at] for errors in run["errors"]], f"ring_attention with {words}")
    whole = attention(case["q"], case["k"][:, :2], case["v"][:, :2], causal=False)
    due = PerRank(part(whole, rank, 2, "contiguous") for rank in range(2))
    assert_matches(PerRank(ys[-1] for ys in run["ys"]), due, what="result of a good call")
    sent = [sum(sum(op.inputs) for op in run.comm.ops("send", rank=rank)) for rank in range(2)]
    assert sent == [2 * 2 * 4 * 3] * 2, (
        f"The ranks send {sent} elements; only the last call has anything to send, 48 elements."
    )


@exercise("ring_attention", aspect="property")
def test_no_scores_are_kept_for_backward(launch):
    """What forward keeps for backward is smaller than a single block of scores."""
    cases = [whole_case(3, 40, heads=4, kv_heads=2, width=2, causal=True, layout="zigzag")]
    run = launch(programs.saved, 3, per_rank={"case": [one[0] for one in cases_of(cases, 3)]})
    assert_right(run, cases, 3)
    assert_little_kept(run, 4 * 40 * 40 * 8)
