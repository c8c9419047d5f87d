"""Public tests of exercise `bucketed_ddp`."""

import pytest

from assignments.ch04_data_parallelism import programs
from assignments.ch04_data_parallelism.test_naive_ddp import (
    FLAG_BYTES,
    TINY_GPT,
    assert_start_traffic,
    assert_trains_like,
    batch,
    one_process,
    random_values,
    replicas,
    steps_for,
)
from grader.harness import PerRank, assert_matches, exercise
from grader.harness.mistake import Mistake


def trainable_names(model):
    """Return the names of a model's trainable parameters; the number in a mark is an index into them."""
    return [name for name, parameter in programs.build(model).named_parameters() if parameter.requires_grad]


def filled(model, cap):
    """Return the buckets due, each as the names of its parameters, and their bytes."""
    buckets = []
    for name, parameter in reversed([(n, p) for n, p in programs.build(model).named_parameters() if p.requires_grad]):
        last = buckets[-1] if buckets else []
        if last and last[0][1].dtype == parameter.dtype and sum(p.nbytes for _, p in last) + parameter.nbytes <= cap:
            last.append((name, parameter))
        else:
            buckets.append([(name, parameter)])
    return [[name for name, _ in bucket] for bucket in buckets], [sum(p.nbytes for _, p in b) for b in buckets]


def mark_of(op):
    """Return the number of the mark that an operation is, None if it is the student's."""
    return op.inputs[0] - 1 if len(op.ranks) == 1 else None


def bucket_ops(comm, model, cap, rank):
    """Return a rank's all-reduces of buckets: all but one, at most, of no more bytes than flags may have."""
    ops = [op for op in comm.ops("all_reduce", rank=rank) if mark_of(op) is None]
    most = FLAG_BYTES * len(trainable_names(model))
    fewer = [ops[:k] + ops[k + 1 :] for k, op in enumerate(ops) if op.payload_bytes <= most]
    fitting = [some for some in (ops, *fewer) if [op.payload_bytes for op in some] == filled(model, cap)[1]]
    return min(fitting, key=lambda some: sum(not op.is_async for op in some), default=ops)


def assert_buckets(comm, model, cap, members):
    """Every member issues one asynchronous all-reduce for each bucket, in the order of the buckets."""
    _, due = filled(model, cap)
    for rank in members:
        ops = bucket_ops(comm, model, cap, rank)
        carried = [op.payload_bytes for op in ops]
        most = sum(due) + FLAG_BYTES * len(trainable_names(model))
        mistake = Mistake.MORE_COMMUNICATION if sum(carried) > most else Mistake.CHECK
        assert carried == due, (
            f"{mistake}\nRank {rank} issued all-reduces of {carried} bytes. With a cap of {cap} bytes the buckets have {due} "
            f"bytes, and are issued in this order; one more may carry flags, of {FLAG_BYTES} bytes per parameter at most."
        )
        blocking = [op for op in ops if not op.is_async]
        assert not blocking, f"Rank {rank} waits in the all-reduce of a bucket: pass async_op=True."
        assert all(op.api for op in ops), f"Rank {rank} left the all-reduces to something inside torch."


def assert_overlap(comm, model, cap, rank, used):
    """Each bucket's all-reduce is issued when it and those before it are ready, and nothing is waited for in backward.

    used: the names of the parameters that have a gradient on this rank
    """
    names, (buckets, _) = trainable_names(model), filled(model, cap)
    marks = [op for op in comm.ops("all_reduce", rank=rank) if mark_of(op) is not None]
    ready_at = {names[mark_of(op)]: op.issued_at for op in marks if mark_of(op) < programs.FIRST_EVENT}
    pass_ended_at = next(op.issued_at for op in marks if mark_of(op) == programs.PASS_ENDED)
    ops = bucket_ops(comm, model, cap, rank)
    _assert_issued_when_ready(ops, buckets, {name: ready_at[name] for name in used}, rank)
    early = [number for number, op in enumerate(ops) if op.waited_at is not None and op.waited_at < pass_ended_at]
    assert not early, (
        f"Rank {rank} waited for the all-reduces of buckets {early} before backward had ended. "
        "What is waited for in a hook is hidden behind nothing: wait in finish_grad_sync()."
    )


def _assert_issued_when_ready(ops, buckets, ready_at, rank):
    due_by_now = []
    for number, (op, bucket) in enumerate(zip(ops, buckets, strict=True)):
        due_by_now += bucket
        if not set(due_by_now) <= set(ready_at):
            return  # this bucket and those after it may wait for finish_grad_sync()
        last = max(ready_at[name] for name in due_by_now)
        late = [name for name, position in ready_at.items() if last < position < op.issued_at]
        assert not late, (
            f"Rank {rank} issued the all-reduce of bucket {number} ({', '.join(bucket)}) only after the gradient of "
            f"{late[0]} was ready, though those of bucket{'s 0 to' if number else ''} {number} had been ready before: "
            "nothing overlaps. Launch it in the hook that completes it."
        )


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
def test_branches_that_ranks_use_in_another_order_or_not_at_all(launch):
    """Sums are right though gradients are ready in another order, or missing, on other ranks."""
    values = [random_values("branchy") for _ in range(3)]
    used = [("left", "right"), ("right", "left"), ("right",)]
    steps = [[[batch("branchy", 2, branches=branches)] for _ in range(3)] for branches in used]
    shared = {"model": "branchy", "bucket_cap_bytes": 200, "weight_decay": 0.1}
    run = launch(programs.train, 3, per_rank={"values": values, "steps": steps}, shared=shared)
    assert_trains_like(run, replicas("branchy", values[0], steps, weight_decay=0.1))


@exercise("bucketed_ddp", aspect="equivalence")
def test_gradients_accumulate_inside_no_sync(launch):
    """Passes inside no_sync() and one outside give the average of all their gradients' sums."""
    values = [random_values("mlp") for _ in range(2)]
    steps = [[[batch("mlp", 2) for _ in range(3)] for _ in range(2)] for _ in range(2)]
    shared = {"model": "mlp", "bucket_cap_bytes": 300}
    run = launch(programs.train, 2, per_rank={"values": values, "steps": steps}, shared=shared)
    assert_trains_like(run, replicas("mlp", values[0], steps))


@exercise("bucketed_ddp", aspect="property")
@pytest.mark.parametrize(("model", "cap"), [("stack", 600), ("stack", 1152), ("wide", 50_000), ("tied", 10**6)])
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
    shared = {"model": "stack", "values": values, "bucket_cap_bytes": 600}
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


@exercise("bucketed_ddp", aspect="robustness")
def test_a_group_of_some_of_the_ranks(launch):
    """In the group of ranks 3 and 1 all starts as on rank 3, two gradients are averaged, and ranks 0 and 2 do nothing."""
    members, values, steps = [3, 1], [random_values("stack") for _ in range(4)], steps_for(4, "stack", num_steps=1)
    shared = {"model": "stack", "members": members, "bucket_cap_bytes": 600}
    run = launch(programs.train, 4, per_rank={"values": values, "steps": steps}, shared=shared)
    expected = one_process("stack", values[3], [steps[3], steps[1]])
    assert_trains_like(run, [None, expected, None, expected])
    run.comm.assert_only("broadcast", "all_reduce")
    assert_start_traffic(run.comm, values[0], members)
    assert_buckets(run.comm, "stack", 600, members)
