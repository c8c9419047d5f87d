"""Public tests of exercise `bucketed_ddp`."""

import pytest

from assignments.ch04_data_parallelism import programs_ddp as programs
from assignments.ch04_data_parallelism.references import (
    TINY_GPT,
    assert_start_traffic,
    assert_trains_like,
    batch,
    one_process,
    random_values,
    replicas,
    steps_for,
    zeros_and_nothing,
)
from assignments.ch04_data_parallelism.references_bucketed_ddp import (
    LARGE_GPT,
    PUBLIC_CAPS,
    assert_buckets,
    assert_flat_memory,
    assert_overlap,
    filled,
    marks_of,
    trainable_names,
)
from grader.harness import PerRank, assert_matches, assert_raised, exercise


@exercise("bucketed_ddp", aspect="equivalence")
@pytest.mark.parametrize(("world_size", "cap"), [(1, 300), (2, 1), (4, 300)])
def test_ranks_train_as_one_process_would_on_the_global_batch(launch, world_size, cap, device):
    """After every step, parameters and gradients are those of one process that sees all ranks' data."""
    with device:
        values = [random_values("mlp") for _ in range(world_size)]
        steps = steps_for(world_size, "mlp")
        expected = one_process("mlp", values[0], steps)
    per_rank, shared = {"values": values, "steps": steps}, {"model": "mlp", "bucket_cap_bytes": cap}
    run = launch(programs.train, world_size, per_rank=per_rank, shared=shared, on="best")
    assert_trains_like(run, [expected] * world_size)


@exercise("bucketed_ddp", aspect="equivalence")
@pytest.mark.parametrize(("model", "cap"), [("tied", 400), ("batch_norm", 400), (TINY_GPT, 20_000)])
def test_models_with_tied_and_frozen_parameters_and_buffers(launch, model, cap):
    """Tied, frozen and ordinary parameters and buffers start as on rank 0, and gradients are averages."""
    values, steps = [random_values(model) for _ in range(2)], steps_for(2, model, rows=5)
    shared = {"model": model, "bucket_cap_bytes": cap}
    run = launch(programs.train, 2, per_rank={"values": values, "steps": steps}, shared=shared)
    assert_trains_like(run, replicas(model, values[0], steps))


@exercise("bucketed_ddp", aspect="equivalence")
def test_gradients_accumulate_inside_no_sync(launch):
    """Passes inside no_sync() and one outside give the average of all their gradients' sums."""
    values = [random_values("mlp") for _ in range(2)]
    steps = [[[batch("mlp", 2) for _ in range(3)] for _ in range(2)] for _ in range(2)]
    shared = {"model": "mlp", "bucket_cap_bytes": 300}
    run = launch(programs.train, 2, per_rank={"values": values, "steps": steps}, shared=shared)
    assert_trains_like(run, replicas("mlp", values[0], steps))


@exercise("bucketed_ddp", aspect="equivalence")
def test_steps_whose_passes_are_all_inside_no_sync(launch):
    """After a step with a pass outside no_sync(), one with a pass inside only and one with none are right, and the next."""
    inside = [{**batch("mlp", 2), "inside": True} for _ in range(2)]
    steps = [[[batch("mlp", 2)], [inside[rank]], [], [batch("mlp", 2)]] for rank in range(2)]
    values = [random_values("mlp") for _ in range(2)]
    shared = {"model": "mlp", "bucket_cap_bytes": 300}
    run = launch(programs.train, 2, per_rank={"values": values, "steps": steps}, shared=shared)
    assert_trains_like(run, replicas("mlp", values[0], steps))


@exercise("bucketed_ddp", aspect="property")
@pytest.mark.parametrize(("model", "cap"), PUBLIC_CAPS)
def test_one_all_reduce_for_each_bucket(launch, model, cap):
    """A step issues one asynchronous all-reduce for each bucket, in the order of the buckets."""
    values, steps = random_values(model), steps_for(2, model, num_steps=1)
    shared = {"model": model, "values": values, "bucket_cap_bytes": cap}
    run = launch(programs.train, 2, per_rank={"steps": steps}, shared=shared)
    assert_trains_like(run, replicas(model, values, steps))
    run.comm.assert_only("broadcast", "all_reduce")
    run.comm.assert_waited_for()
    assert_start_traffic(run.comm, values, members=[0, 1])
    assert_buckets(run.comm, model, cap, members=[0, 1])


@exercise("bucketed_ddp", aspect="property")
def test_communication_runs_behind_backward(launch):
    """Of four equal layers, each one's gradients are on their way before the layer below has any."""
    values, passes = random_values("stack"), [[batch("stack", 2)] for _ in range(2)]
    marks = marks_of("stack", [trainable_names("stack")])
    shared = {"model": "stack", "values": values, "bucket_cap_bytes": 600, "marks": marks}
    run = launch(programs.record_overlap, 2, per_rank={"passes": passes}, shared=shared)
    expected = replicas("stack", values, [[one] for one in passes])[0]["grads"][0]
    assert_matches(run["grads"], PerRank([expected] * 2), what="grads")
    assert filled("stack", 600)[1] == [576] * 4
    assert_buckets(run.comm, "stack", 600, members=[0, 1])
    for rank in range(2):
        assert_overlap(run.comm, "stack", 600, rank, used=trainable_names("stack"))


@exercise("bucketed_ddp", aspect="property")
def test_no_sync_keeps_gradients_on_the_rank(launch):
    """Three micro-batches, two of them inside no_sync(), cost the communication of one."""
    values = random_values("stack")
    steps = [[[batch("stack", 2) for _ in range(3)]] for _ in range(2)]
    shared = {"model": "stack", "values": values, "bucket_cap_bytes": 600}
    run = launch(programs.train, 2, per_rank={"steps": steps}, shared=shared)
    assert_trains_like(run, replicas("stack", values, steps))
    assert_buckets(run.comm, "stack", 600, members=[0, 1])


@exercise("bucketed_ddp", aspect="property")
def test_memory_does_not_grow_with_the_number_of_steps(launch):
    """Sixty steps take no more memory than their passes: buffers of earlier steps are let go."""
    values, passes = random_values(LARGE_GPT), [batch(LARGE_GPT, 1) for _ in range(2)]
    shared = {"model": LARGE_GPT, "values": values, "num_steps": 60}
    run = launch(programs.train_long, 2, per_rank={"one": passes}, shared=shared | {"bucket_cap_bytes": 200_000})
    expected = replicas(LARGE_GPT, values, [[[one]] for one in passes])[0]["grads"][0]
    assert_matches(run["grads"], PerRank([expected] * 2), what="grads")
    assert_flat_memory(run, launch.alone(programs.train_long_alone, 2, per_rank={"one": passes}, shared=shared))


@exercise("bucketed_ddp", aspect="robustness")
def test_a_bucket_has_one_dtype(launch):
    """Between float64 layers, a float32 layer has a bucket of its own, and gradients keep their dtypes."""
    values, steps = random_values("mixed"), steps_for(2, "mixed", num_steps=1)
    shared = {"model": "mixed", "values": values, "bucket_cap_bytes": 10**6}
    run = launch(programs.train, 2, per_rank={"steps": steps}, shared=shared)
    expected = PerRank(one["grads"] for one in replicas("mixed", values, steps))
    assert_matches(run["grads"], expected, rtol=1e-4, atol=1e-6, what="grads")
    assert_buckets(run.comm, "mixed", 10**6, members=[0, 1])


@exercise("bucketed_ddp", aspect="robustness")
def test_a_cap_without_room(launch):
    """A cap below one byte is a ValueError, and a cap of one byte is not."""
    caps = {0: "ValueError", 1: "", 0.5: "ValueError", -8: "ValueError"}
    run = launch(programs.bad_cap, 1, shared={"caps": list(caps)})
    for (cap, due), error in zip(caps.items(), run["errors"][0], strict=True):
        assert_raised([error], f"BucketedDDP(module, bucket_cap_bytes={cap})", due)


@exercise("bucketed_ddp", aspect="robustness")
def test_a_group_of_some_of_the_ranks(launch):
    """In the group of ranks 3 and 1, all starts as on rank 3, two gradients are averaged, and ranks 0 and 2 do nothing."""
    members, values, steps = [3, 1], [random_values("stack") for _ in range(4)], steps_for(4, "stack", num_steps=1)
    shared = {"model": "stack", "members": members, "bucket_cap_bytes": 600}
    run = launch(programs.train, 4, per_rank={"values": values, "steps": steps}, shared=shared)
    expected = one_process("stack", values[3], [steps[3], steps[1]])
    assert_trains_like(run, [None, expected, None, expected])
    run.comm.assert_only("broadcast", "all_reduce")
    assert_start_traffic(run.comm, values[0], members)
    assert_buckets(run.comm, "stack", 600, members)


@exercise("bucketed_ddp", aspect="robustness")
def test_branches_that_ranks_use_in_another_order_or_not_at_all(launch):
    """Averages are right even if gradients are ready in different orders on different ranks, or missing on some."""
    values = [random_values("branchy") for _ in range(3)]
    used = [("left", "right"), ("right", "left"), ("right",)]
    steps = [[[batch("branchy", 2, branches=branches)] for _ in range(3)] for branches in used]
    shared = {"model": "branchy", "bucket_cap_bytes": 200, "weight_decay": 0.1}
    run = launch(programs.train, 3, per_rank={"values": values, "steps": steps}, shared=shared)
    assert_trains_like(run, replicas("branchy", values[0], steps, weight_decay=0.1))


@exercise("bucketed_ddp", aspect="robustness")
def test_a_gradient_of_zeros_is_one(launch):
    """Where one rank's gradient is all zeros and the other has none, both end with zeros."""
    values, steps = zeros_and_nothing()
    shared = {"model": "branchy", "values": values, "bucket_cap_bytes": 300}
    run = launch(programs.train, 2, per_rank={"steps": steps}, shared=shared)
    assert_matches(run["grads"], PerRank(one["grads"] for one in replicas("branchy", values, steps)), what="grads")


@exercise("bucketed_ddp", aspect="robustness")
def test_a_rank_without_any_gradient(launch):
    """A rank that did no backward in a step issues all buckets all the same, and gets the averages."""
    values = [random_values("mlp") for _ in range(2)]
    steps = [[[batch("mlp", 2)], [batch("mlp", 2)]], [[batch("mlp", 2)], []]]
    shared = {"model": "mlp", "bucket_cap_bytes": 300}
    run = launch(programs.train, 2, per_rank={"values": values, "steps": steps}, shared=shared)
    assert_trains_like(run, replicas("mlp", values[0], steps))
