"""What runs on every rank in the tests of naive_ddp.py and bucketed_ddp.py."""

import contextlib
from functools import partial

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from course_env.rank_programs import attempt, make_group, stands_aside
from course_env.toy_models import LR, MOMENTUM, build_model, gradients_of, load_tensors, loss_of, tensors_of

REFUSED = {DistributedDataParallel: "a DDP of your own"}

# What a rank outside the group reports: it never uses the student's class.
NOT_A_MEMBER = {"at_start": None, "grads": None, "at_end": None, "same_parameters": None}

# Marks in the record of an overlap test: the gradient of trainable parameter i is ready (its number is i), and these.
FIRST_EVENT = 1000
PASS_ENDED, FINISHED = FIRST_EVENT, FIRST_EVENT + 1


def train(student, *, model, values, steps, members=None, bucket_cap_bytes=None, weight_decay=0.0):
    """Train with the student's DDP (BucketedDDP if a cap is given) in the group of `members` (None: all ranks).

    A step is a list of passes, dicts of x, y and options of the model; all but its last pass, and that too if it has
    "inside", run inside no_sync() of a DDP that has one. `grads` are those after each step's finish_grad_sync(), None
    where there is none.
    """
    ddp, module, same_parameters = _wrapped(student, model, values, members=members, bucket_cap_bytes=bucket_cap_bytes)
    if ddp is None:
        return NOT_A_MEMBER
    optimizer = torch.optim.SGD(ddp.parameters(), lr=LR, momentum=MOMENTUM, weight_decay=weight_decay)
    at_start, grads = tensors_of(module), []
    for passes in steps:
        optimizer.zero_grad()
        _backward_all(ddp, passes)
        ddp.finish_grad_sync()
        grads.append(gradients_of(module))
        optimizer.step()
    return {"at_start": at_start, "grads": grads, "at_end": tensors_of(module), "same_parameters": same_parameters}


def record_overlap(student, *, model, values, passes, bucket_cap_bytes, members=None):
    """Do one step, and leave a mark in the record wherever a gradient has become ready.

    A mark is an all-reduce in a group of this rank alone, of as many elements as its number says, plus one.
    """
    own_groups = [dist.new_group([rank]) for rank in range(dist.get_world_size())]
    own_group = own_groups[dist.get_rank()]
    ddp, module, _ = _wrapped(
        student, model, values, members=members, bucket_cap_bytes=bucket_cap_bytes, mark_in=own_group
    )
    if ddp is None:
        return NOT_A_MEMBER
    _backward_all(ddp, passes)
    _mark(own_group, PASS_ENDED)
    ddp.finish_grad_sync()
    _mark(own_group, FINISHED)
    return {"grads": gradients_of(module)}


def leave_no_sync(student, *, model, values, passes, bucket_cap_bytes):
    """Leave no_sync() by an exception, then nest it, with a pass between the two ends; then do a pass outside.

    Leaves marks as `record_overlap` does; `grads` are what the last pass and finish_grad_sync() leave.
    """
    own_groups = [dist.new_group([rank]) for rank in range(dist.get_world_size())]
    own_group = own_groups[dist.get_rank()]
    ddp, module, _ = _wrapped(
        student, model, values, members=None, bucket_cap_bytes=bucket_cap_bytes, mark_in=own_group
    )
    with contextlib.suppress(ZeroDivisionError), ddp.no_sync():
        raise ZeroDivisionError
    with ddp.no_sync():
        with ddp.no_sync():
            pass
        _backward_all(ddp, passes[:1])
    _backward_all(ddp, passes[1:])
    _mark(own_group, PASS_ENDED)
    ddp.finish_grad_sync()
    return {"grads": gradients_of(module)}


def bad_cap(student, *, caps):
    """Wrap a model with each of these caps; return the ValueErrors."""
    return {"errors": [attempt(partial(student.BucketedDDP, build_model("mlp"), cap))[1] for cap in caps]}


def _wrapped(student, model, values, *, members, bucket_cap_bytes, mark_in=None):
    """Return the student's DDP of a model with these values, the model, and whether it kept the model's parameters."""
    group = make_group(members)
    if stands_aside(group):
        return None, None, None
    module = build_model(model)
    load_tensors(module, values)
    parameters = list(module.parameters())
    if mark_in is not None:  # before the student's hooks, so that a gradient is marked before it is acted upon
        for number, parameter in enumerate(p for p in parameters if p.requires_grad):
            parameter.register_post_accumulate_grad_hook(lambda _, number=number: _mark(mark_in, number))
    if bucket_cap_bytes is None:
        ddp = student.NaiveDDP(module, group)
    else:
        ddp = student.BucketedDDP(module, bucket_cap_bytes, group)
    kept = {id(parameter) for parameter in ddp.parameters()} == {id(parameter) for parameter in parameters}
    return ddp, module, kept and ddp.module is module


def _backward_all(ddp, passes):
    no_sync = getattr(ddp, "no_sync", contextlib.nullcontext)
    for number, one in enumerate(passes, 1):
        with no_sync() if number < len(passes) or "inside" in one else contextlib.nullcontext():
            loss_of(ddp(one["x"], **one.get("options", {})), one["y"]).backward()


def _mark(group, number):
    dist.all_reduce(torch.zeros(number + 1), group=group)
