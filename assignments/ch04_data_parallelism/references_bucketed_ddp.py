"""Baselines and assertions that the public and the hidden tests of bucketed_ddp.py share."""

from assignments.ch04_data_parallelism import programs_ddp as programs
from assignments.ch04_data_parallelism.references import FLAG_BYTES, TINY_GPT
from course_env.gpt_config import GPTConfig
from course_env.toy_models import build_model
from grader.harness.mistake import Mistake

# Models and caps of the public tests. Each way of `filled_wrongly` shows in one of them.
PUBLIC_CAPS = [
    ("stack", 600),
    ("stack", 1152),
    ("wide", 50_000),
    ("tied", 10**6),
    ("batch_norm", 400),
    (TINY_GPT, 20_000),
]

# 1.4 MB of gradients, so that 60 steps whose buffers are kept take 85 MB.
LARGE_GPT = GPTConfig(vocab_size=2000, n_layer=1, n_head=4, d_model=64, max_seq=8)
MEMORY_MARGIN_KB = 40 << 10


def trainable_names(model):
    """Return the names of a model's trainable parameters; the number in a mark is an index into them."""
    return [name for name, parameter in build_model(model).named_parameters() if parameter.requires_grad]


def filled(model, cap):
    """Return the buckets due, each as the names of its parameters, and their bytes."""
    buckets = _cut(model, lambda held, new: held + new <= cap)
    return [[name for name, _ in bucket] for bucket in buckets], sizes_of(buckets)


def filled_wrongly(model, cap):
    """Return what is wrong and the bytes of the buckets, in the order of issue, for ways that do not fill as is due."""
    from_the_front = _cut(model, lambda held, new: held + new <= cap, step=1)
    return {
        "filled from the first parameter on, and issued backwards": sizes_of(from_the_front)[::-1],
        "filled from the first parameter on": sizes_of(from_the_front),
        "closed when they have reached the cap, and so exceed it": sizes_of(_cut(model, lambda held, _: held < cap)),
        "never filled up to the cap exactly": sizes_of(_cut(model, lambda held, new: held + new < cap)),
        "not closed where the dtype changes": sizes_of(
            _cut(model, lambda held, new: held + new <= cap, same_dtype=False)
        ),
        "one for each parameter": sizes_of(_cut(model, lambda *_: False)),
        "one for all": sizes_of(_cut(model, lambda *_: True)),
    }


def _cut(model, fits, *, step=-1, same_dtype=True):
    """Cut the trainable parameters, from the last to the first (step 1: from the first on), into buckets."""
    buckets = []
    for name, parameter in [(n, p) for n, p in build_model(model).named_parameters() if p.requires_grad][::step]:
        last = buckets[-1] if buckets else []
        held = sum(p.nbytes for _, p in last)
        joins = last and fits(held, parameter.nbytes) and (last[0][1].dtype == parameter.dtype or not same_dtype)
        buckets = [*buckets[:-1], [*last, (name, parameter)]] if joins else [*buckets, [(name, parameter)]]
    return buckets


def sizes_of(buckets):
    """Return the bytes of each bucket."""
    return [sum(parameter.nbytes for _, parameter in bucket) for bucket in buckets]


def marks_of(model, used_in_passes, *, finished=True):
    """Return the numbers of all marks of a rank whose passes use these parameters, by name."""
    names = trainable_names(model)
    ready = [names.index(name) for used in used_in_passes for name in used]
    return [*ready, programs.PASS_ENDED, *([programs.FINISHED] if finished else [])]


def mark_of(op):
    """Return the number of the mark that a message is."""
    return op.inputs[0] - 1


def bucket_ops(comm, model, cap, rank):
    """Return a rank's all-reduces of buckets: all of its all-reduces, or all but one that is small enough for flags."""
    ops = comm.ops("all_reduce", rank=rank)
    most = FLAG_BYTES * len(trainable_names(model))
    fewer = [ops[:k] + ops[k + 1 :] for k, op in enumerate(ops) if op.payload_bytes <= most]
    known = [filled(model, cap)[1], *filled_wrongly(model, cap).values()]
    fitting = [some for due in known for some in (ops, *fewer) if [op.payload_bytes for op in some] == due]
    best = [some for some in fitting if [op.payload_bytes for op in some] == known[0]] or fitting[:1]
    return min(best, key=lambda some: sum(not op.is_async for op in some), default=ops)


def assert_buckets(comm, model, cap, members):
    """Every member issues one asynchronous all-reduce for each bucket, in the order of the buckets."""
    _, due = filled(model, cap)
    for rank in members:
        ops = bucket_ops(comm, model, cap, rank)
        carried = [op.payload_bytes for op in ops]
        most = sum(due) + FLAG_BYTES * len(trainable_names(model))
        mistake = Mistake.MORE_COMMUNICATION if sum(carried) > most else Mistake.CHECK
        like = [how for how, sizes in filled_wrongly(model, cap).items() if sizes == carried and sizes != due]
        assert carried == due, (
            f"{mistake}\nRank {rank} issued all-reduces of {carried} bytes. With a cap of {cap} bytes the buckets have {due} "
            f"bytes, and are issued in this order; one more may carry flags, of {FLAG_BYTES} bytes per parameter at most."
            f"{f' Yours look as if they were {like[0]}.' if like else ''}"
        )
        blocking = [op for op in ops if not op.is_async]
        assert not blocking, f"Rank {rank} waits in the all-reduce of a bucket: pass async_op=True."
        assert all(op.api for op in ops), f"Rank {rank} left the all-reduces to something inside torch."


def assert_flat_memory(run, alone):
    """No rank took more memory than the passes alone take, but for a few buffers."""
    for rank, (taken, least) in enumerate(zip(run.max_rss_kb, alone.max_rss_kb, strict=True)):
        assert taken - least < MEMORY_MARGIN_KB, (
            f"Rank {rank} took {(taken - least) >> 10} MiB more than its passes take. What is kept of every step? "
            "Let flat buffers and handles go when finish_grad_sync() has waited for them."
        )


def assert_overlap(comm, model, cap, rank, used):
    """Each bucket's all-reduce is issued when it and those before it are ready, and nothing is waited for in backward.

    used: the names of the parameters that have a gradient on this rank
    """
    names, (buckets, _) = trainable_names(model), filled(model, cap)
    marks = comm.ops("send", rank=rank)
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
