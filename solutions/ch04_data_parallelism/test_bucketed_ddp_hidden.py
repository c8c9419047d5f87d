"""Hidden tests of exercise `bucketed_ddp`."""

import pytest

from assignments.ch04_data_parallelism import programs_ddp as programs
from assignments.ch04_data_parallelism.references import (
    TINY_GPT,
    assert_start_traffic,
    assert_trains_like,
    batch,
    random_values,
    replicas,
    steps_for,
    trainable_bytes,
)
from assignments.ch04_data_parallelism.references_bucketed_ddp import (
    assert_buckets,
    assert_overlap,
    bucket_ops,
    marks_of,
    trainable_names,
)
from course_env.layout import Layout
from grader.harness import PerRank, assert_matches, exercise
from solutions.ch03_overview_of_parallelism.communication import comm_bytes_per_step


def branch_passes(*branches_of_passes, rows=2):
    """Return a step of one pass for each tuple of branches."""
    return [batch("branchy", rows, branches=branches) for branches in branches_of_passes]


@exercise("bucketed_ddp", aspect="robustness")
@pytest.mark.parametrize("cap", [1, 160, 10**6])
def test_what_ranks_use_changes_from_step_to_step(launch, cap):
    """Averages are right, and a gradient that no rank has stays None, whichever ranks use a parameter, in any order."""
    both, other, left, right = ("left", "right"), ("right", "left"), ("left",), ("right",)
    used = [[both, right, left, left], [other, left, left, both], [both, right, left, right]]
    steps = [[branch_passes(branches) for branches in of_rank] for of_rank in used]
    values = [random_values("branchy") for _ in range(3)]
    shared = {"model": "branchy", "bucket_cap_bytes": cap, "weight_decay": 0.2}
    run = launch(programs.train, 3, per_rank={"values": values, "steps": steps}, shared=shared)
    assert_trains_like(run, replicas("branchy", values[0], steps, weight_decay=0.2))


@exercise("bucketed_ddp", aspect="robustness")
def test_a_parameter_that_only_a_pass_inside_no_sync_used(launch):
    """What has accumulated inside no_sync() is averaged though the last pass does not touch it."""
    used = [[("left", "right"), ("right",)], [("right",), ("right",)], [("left",), ("left", "right")]]
    steps = [[branch_passes(*of_rank) for _ in range(2)] for of_rank in used]
    values = [random_values("branchy") for _ in range(3)]
    shared = {"model": "branchy", "bucket_cap_bytes": 200}
    run = launch(programs.train, 3, per_rank={"values": values, "steps": steps}, shared=shared)
    assert_trains_like(run, replicas("branchy", values[0], steps))


@exercise("bucketed_ddp", aspect="equivalence")
def test_a_step_without_a_pass_outside_no_sync(launch):
    """finish_grad_sync() averages what there is even if all passes of a step ran inside no_sync(); later steps are right."""
    inside = [[{**batch("mlp", 2), "inside": True}] for _ in range(4)]
    steps = [[inside[rank], [batch("mlp", 2)], inside[2 + rank], [], [batch("mlp", 2)]] for rank in range(2)]
    values = [random_values("mlp") for _ in range(2)]
    shared = {"model": "mlp", "bucket_cap_bytes": 300}
    run = launch(programs.train, 2, per_rank={"values": values, "steps": steps}, shared=shared)
    assert_trains_like(run, replicas("mlp", values[0], steps))


@exercise("bucketed_ddp", aspect="property")
@pytest.mark.parametrize(
    ("model", "cap"),
    [
        ("mlp", 1),
        ("mlp", 336),
        ("stack", 575),
        ("wide", 2_500),
        ("wide", 10**6),
        ("batch_norm", 200),
        ("batch_norm", 304),
    ],
)
def test_buckets_are_filled_to_the_cap(launch, model, cap):
    """Buckets are filled from the last parameter on up to the cap, which only a single parameter may exceed."""
    values, steps = random_values(model), steps_for(2, model, num_steps=1)
    shared = {"model": model, "values": values, "bucket_cap_bytes": cap}
    run = launch(programs.train, 2, per_rank={"steps": steps}, shared=shared)
    assert_trains_like(run, replicas(model, values, steps))
    run.comm.assert_only("broadcast", "all_reduce")
    run.comm.assert_waited_for()
    assert_start_traffic(run.comm, values, members=[0, 1])
    assert_buckets(run.comm, model, cap, members=[0, 1])


@exercise("bucketed_ddp", aspect="property")
@pytest.mark.parametrize(("model", "cap", "num_passes"), [("wide", 1_200, 1), (TINY_GPT, 4_000, 1), ("stack", 600, 3)])
def test_overlap_of_other_models(launch, model, cap, num_passes):
    """Buckets are issued as they become ready, also in a sub-group and after passes inside no_sync()."""
    values, members = random_values(model), [2, 0]
    passes = [[batch(model, 2) for _ in range(num_passes)] for _ in range(3)]
    marks = marks_of(model, [trainable_names(model)] * num_passes)
    shared = {"model": model, "values": values, "bucket_cap_bytes": cap, "members": members, "marks": marks}
    run = launch(programs.record_overlap, 3, per_rank={"passes": passes}, shared=shared)
    expected = replicas(model, values, [[passes[member]] for member in members])[0]["grads"][0]
    assert_matches(run["grads"], PerRank([expected, None, expected]), what="grads")
    assert_buckets(run.comm, model, cap, members)
    for rank in members:
        assert_overlap(run.comm, model, cap, rank, used=trainable_names(model))


@exercise("bucketed_ddp", aspect="property")
def test_buckets_keep_their_order_whatever_is_ready_first(launch):
    """A bucket that is ready early waits for those before it."""
    assert_keeps_order(launch, [("left", "spare", "right"), ("right", "spare", "left"), ("spare", "right", "left")])


@exercise("bucketed_ddp", aspect="robustness")
def test_a_bucket_behind_an_unused_parameter(launch):
    """A bucket behind one with a parameter that this rank did not use may wait for the end; those before it may not."""
    assert_keeps_order(launch, [("left", "spare", "right"), ("right", "spare", "left"), ("spare", "left")])


def assert_keeps_order(launch, used):
    """Three ranks that use these branches, in this order, issue the same buckets in the same order, and early."""
    values = random_values("branchy")
    passes = [branch_passes(branches) for branches in used]
    names = [
        [name for name in trainable_names("branchy") if name.split(".")[1] in (*branches, "weight", "bias")]
        for branches in used
    ]
    marks = [marks_of("branchy", [names[rank - 1]]) for rank in range(3)]
    shared = {"model": "branchy", "values": values, "bucket_cap_bytes": 170}
    run = launch(programs.record_overlap, 3, per_rank={"passes": passes, "marks": marks}, shared=shared)
    expected = replicas("branchy", values, [[one] for one in passes])[0]["grads"][0]
    assert_matches(run["grads"], PerRank([expected] * 3), what="grads")
    assert_buckets(run.comm, "branchy", 170, members=[0, 1, 2])
    for rank in range(3):
        assert_overlap(run.comm, "branchy", 170, rank, used=names[rank])


@exercise("bucketed_ddp", aspect="property")
def test_buckets_cost_what_chapter_3_predicts(launch):
    """The all-reduces of all buckets of a GPT send, to the byte, what the model of chapter 3 says."""
    values, steps = random_values(TINY_GPT), steps_for(3, TINY_GPT, num_steps=1)
    shared = {"model": TINY_GPT, "values": values, "bucket_cap_bytes": 8_000}
    run = launch(programs.train, 3, per_rank={"steps": steps}, shared=shared)
    assert_trains_like(run, replicas(TINY_GPT, values, steps))
    n_params = trainable_bytes(TINY_GPT)[0] // 8
    due = comm_bytes_per_step(TINY_GPT, Layout(dp=3), n_params=n_params, bytes_per_value=8)["dp"]
    for rank in range(3):
        assert sum(op.bytes_sent for op in bucket_ops(run.comm, TINY_GPT, 8_000, rank)) == due


@exercise("bucketed_ddp", aspect="robustness")
def test_parameters_of_two_dtypes(launch):
    """No bucket mixes dtypes, and every gradient keeps its own."""
    values, steps = [random_values("mixed") for _ in range(2)], steps_for(2, "mixed", num_steps=1)
    shared = {"model": "mixed", "bucket_cap_bytes": 10**6}
    run = launch(programs.train, 2, per_rank={"values": values, "steps": steps}, shared=shared)
    expected = replicas("mixed", values[0], steps)
    assert_matches(run["at_start"], values[0], rtol=0.0, atol=0.0, what="at_start")
    assert_matches(run["grads"], PerRank(one["grads"] for one in expected), rtol=1e-4, atol=1e-6, what="grads")
    assert_buckets(run.comm, "mixed", 10**6, members=[0, 1])


@exercise("bucketed_ddp", aspect="robustness")
def test_no_sync_ends_as_it_began(launch):
    """After an exception in no_sync(), gradients are averaged again. When an inner block ends, the outer one still holds."""
    values, passes = random_values("stack"), [[batch("stack", 2) for _ in range(2)] for _ in range(2)]
    marks = marks_of("stack", [trainable_names("stack")] * 2, finished=False)
    shared = {"model": "stack", "values": values, "bucket_cap_bytes": 600, "marks": marks}
    run = launch(programs.leave_no_sync, 2, per_rank={"passes": passes}, shared=shared)
    expected = replicas("stack", values, [[one] for one in passes])[0]["grads"][0]
    assert_matches(run["grads"], PerRank([expected] * 2), what="grads")
    assert_buckets(run.comm, "stack", 600, members=[0, 1])
    for rank in range(2):
        assert_overlap(run.comm, "stack", 600, rank, used=trainable_names("stack"))


@exercise("bucketed_ddp", aspect="robustness")
def test_ranks_without_gradients_in_a_group(launch):
    """In a group of three, ranks that did no backward are averaged with the one that did, in any step."""
    members, values = [3, 0, 2], [random_values("tied") for _ in range(4)]
    steps = [[[batch("tied", 2)] if number == rank else [] for number in (2, 0, 3)] for rank in range(4)]
    shared = {"model": "tied", "members": members, "bucket_cap_bytes": 100, "weight_decay": 0.1}
    run = launch(programs.train, 4, per_rank={"values": values, "steps": steps}, shared=shared)
    of_members = replicas("tied", values[3], [steps[rank] for rank in members], weight_decay=0.1)
    expected = dict(zip(members, of_members, strict=True))
    assert_trains_like(run, [expected.get(rank) for rank in range(4)])


@exercise("bucketed_ddp", aspect="robustness")
@pytest.mark.parametrize("members", [[2, 0], [3, 0, 1], [1]])
def test_groups_of_any_ranks(launch, members):
    """In any group, every tensor starts as on the group's first rank, and averages are over the group's ranks."""
    values, used = [random_values("branchy") for _ in range(4)], [("left",), ("left", "right"), ("right",), ("left",)]
    steps = [[branch_passes(branches) for _ in range(2)] for branches in used]
    shared = {"model": "branchy", "members": members, "bucket_cap_bytes": 160}
    run = launch(programs.train, 4, per_rank={"values": values, "steps": steps}, shared=shared)
    expected = dict(zip(members, replicas("branchy", values[members[0]], [steps[m] for m in members]), strict=True))
    assert_trains_like(run, [expected.get(rank) for rank in range(4)])
