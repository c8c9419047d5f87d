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
NOT_A_MEMBER = {"at_start": None, "in_place": None, "grads": None, "at_end": None, "same_parameters": None}

# Marks in the record of an overlap test: the gradient of trainable parameter i is ready (its number is i), and these.
FIRST_EVENT = 1000
PASS_ENDED, FINISHED = FIRST_EVENT, FIRST_EVENT + 1


def train(student, *, model, values, steps, members=None, bucket_cap_bytes=None, weight_decay=0.0):
    """Train with the student's DDP (BucketedDDP if a cap is given) in the group of `members` (None: all ranks).

    A step is a list of passes, dicts of x, y and options of the model; all but its last pass, and that too if it has
    "inside", run inside no_sync() of a DDP that has one. `grads` are those after each step's finish_grad_sync(), None
    where there is none.
    """
    group = make_group(members)
    if stands_aside(group):
        return NOT_A_MEMBER
    module = _built(model, values)
    aliases = _aliases(module)
    ddp, same_parameters = _wrapped(student, module, group, bucket_cap_bytes)
    in_place = {name: alias.clone() for name, alias in aliases.items()}
    optimizer = torch.optim.SGD(ddp.parameters(), lr=LR, momentum=MOMENTUM, weight_decay=weight_decay)
    at_start, grads = tensors_of(module), []
    for passes in steps:
        optimizer.zero_grad()
        _backward_all(ddp, passes)
        ddp.finish_grad_sync()
        grads.append(gradients_of(module))
        optimizer.step()
    return {
        "at_start": at_start,
        "in_place": in_place,
        "grads": grads,
        "at_end": tensors_of(module),
        "same_parameters": same_parameters,
    }


def train_long(student, *, model, values, one, num_steps, bucket_cap_bytes):
    """Take `num_steps` steps without an optimizer, each on the batch `one`; return the gradients of the last."""
    module = _built(model, values)
    ddp, _ = _wrapped(student, module, None, bucket_cap_bytes)
    for _ in range(num_steps):
        module.zero_grad()
        _backward_all(ddp, [one])
        ddp.finish_grad_sync()
    return {"grads": gradients_of(module)}


def train_long_alone(student, *, model, values, one, num_steps):
    """Do what `train_long` does, without the student's file and without communication: for what that takes of memory."""
    del student
    module = _built(model, values)
    for _ in range(num_steps):
        module.zero_grad()
        loss_of(module(one["x"]), one["y"]).backward()
    return {"done": True}


def record_overlap(student, *, model, values, passes, bucket_cap_bytes, marks, members=None):
    """Do one step, and leave a mark in the record wherever a gradient has become ready.

    A mark is a message to the next rank of the group, of as many elements as its number says, plus one. `marks` are the
    numbers of all that this rank gets.
    """
    group = make_group(members)
    if stands_aside(group):
        return NOT_A_MEMBER
    module, marker = _built(model, values), _Marker(members, marks)
    marker.watch(module)
    ddp, _ = _wrapped(student, module, group, bucket_cap_bytes)
    _backward_all(ddp, passes)
    marker.mark(PASS_ENDED)
    ddp.finish_grad_sync()
    marker.mark(FINISHED)
    marker.finish()
    return {"grads": gradients_of(module)}


def leave_no_sync(student, *, model, values, passes, bucket_cap_bytes, marks):
    """Leave no_sync() by an exception, then nest it, with a pass between the two ends; then do a pass outside.

    Leaves marks as `record_overlap` does; `grads` are what the last pass and finish_grad_sync() leave.
    """
    module, marker = _built(model, values), _Marker(None, marks)
    marker.watch(module)
    ddp, _ = _wrapped(student, module, None, bucket_cap_bytes)
    with contextlib.suppress(ZeroDivisionError), ddp.no_sync():
        raise ZeroDivisionError
    with ddp.no_sync():
        with ddp.no_sync():
            pass
        _backward_all(ddp, passes[:1])
    _backward_all(ddp, passes[1:])
    marker.mark(PASS_ENDED)
    ddp.finish_grad_sync()
    marker.finish()
    return {"grads": gradients_of(module)}


def bad_cap(student, *, caps):
    """Wrap a model with each of these caps; return the ValueErrors."""
    return {"errors": [attempt(partial(student.BucketedDDP, build_model("mlp"), cap))[1] for cap in caps]}


class _Marker:
    """Sends marks to the next rank of the group, and gets those of the one before it.

    A mark that was not sent, or that somebody else sent, leaves a rank waiting or a message over.
    """

    def __init__(self, members, marks):
        ranks = list(range(dist.get_world_size())) if members is None else members
        place = ranks.index(dist.get_rank())
        self.next_rank, before = ranks[(place + 1) % len(ranks)], ranks[place - 1]
        # One tag for each mark: its sender's order is the record's business, and not the receiver's.
        self.works = [dist.irecv(torch.empty(number + 1), before, tag=number) for number in marks]

    def watch(self, module):
        """Mark every gradient when it is ready. Call it before the student's hooks are there, which act upon it."""
        for number, parameter in enumerate(p for p in module.parameters() if p.requires_grad):
            parameter.register_post_accumulate_grad_hook(lambda _, number=number: self.mark(number))

    def mark(self, number):
        """Send a mark."""
        self.works.append(dist.isend(torch.zeros(number + 1), self.next_rank, tag=number))

    def finish(self):
        """Wait until all marks are sent and received."""
        for work in self.works:
            work.wait()


def _built(model, values):
    """Return a new model with these values."""
    module = build_model(model)
    load_tensors(module, values)
    return module


def _aliases(module):
    """Return for every parameter and buffer a tensor that shares its memory, as a view or an optimizer would."""
    named = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return {name: tensor.detach() for name, tensor in named.items()}


def _wrapped(student, module, group, bucket_cap_bytes):
    """Return the student's DDP of a module, and whether it kept the module and its parameters."""
    parameters = list(module.parameters())
    if bucket_cap_bytes is None:
        ddp = student.NaiveDDP(module, group)
    else:
        ddp = student.BucketedDDP(module, bucket_cap_bytes, group)
    kept = {id(parameter) for parameter in ddp.parameters()} == {id(parameter) for parameter in parameters}
    return ddp, kept and ddp.module is module


def _backward_all(ddp, passes):
    no_sync = getattr(ddp, "no_sync", contextlib.nullcontext)
    for number, one in enumerate(passes, 1):
        with no_sync() if number < len(passes) or "inside" in one else contextlib.nullcontext():
            loss_of(ddp(one["x"], **one.get("options", {})), one["y"]).backward()
