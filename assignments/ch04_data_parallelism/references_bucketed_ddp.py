"""Baselines and assertions that the public and the hidden tests of bucketed_ddp.py share."""

from assignments.ch04_data_parallelism import programs_ddp as programs
from assignments.ch04_data_parallelism.references import FLAG_BYTES
from course_env.toy_models import build_model
from grader.harness.mistake import Mistake


def trainable_names(model):
    """Return the names of a model's trainable parameters; the number in a mark is an index into them."""
    return [name for name, parameter in build_model(model).named_parameters() if parameter.requires_grad]


def filled(model, cap):
    """Return the buckets due, each as the names of its parameters, and their bytes."""
    buckets = []
    for name, parameter in reversed([(n, p) for n, p in build_model(model).named_parameters() if p.requires_grad]):
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
    """Return a rank's all-reduces of buckets: all of its all-reduces, or all but one that is small enough for flags."""
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
