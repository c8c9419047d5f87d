"""What runs on every rank in the tests of this chapter."""

import contextlib
import threading

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data.distributed import DistributedSampler

from course_env.gpt_config import GPTConfig
from course_env.meters import LiveActivations
from course_env.tiny_gpt import TinyGPT
from course_env.toy_models import load_tensors, make_toy, tensors_of

LR, MOMENTUM = 0.1, 0.9
MEETING_S = 1.0

# What a rank outside the group reports: it never uses the student's class.
NOT_A_MEMBER = {"at_start": None, "grads": None, "at_end": None, "same_parameters": None}

# Marks in the record of an overlap test: the gradient of trainable parameter i is ready (its number is i), and these.
FIRST_EVENT = 1000
PASS_ENDED, FINISHED = FIRST_EVENT, FIRST_EVENT + 1


def build(model):
    """Return a toy model by its name, or the TinyGPT of a config; in float64."""
    return TinyGPT(model).double() if isinstance(model, GPTConfig) else make_toy(model)


def loss_of(output, y):
    """Return a mean over rows: cross-entropy where the targets are classes, the squared error where they are numbers."""
    return (
        functional.mse_loss(output, y)
        if y.is_floating_point()
        else functional.cross_entropy(output.flatten(0, -2), y.flatten())
    )


def gradients(module):
    """Return a copy of every parameter's gradient by name, None where it has none."""
    return {name: None if p.grad is None else p.grad.clone() for name, p in module.named_parameters()}


def data_parallel_step(student, *, model, values, x, y, n_replicas, loss_inside, start_grads=None, num_shards=None):
    """Do one step and report what became of the module, and what was seen of its replicas.

    With `num_shards`, each forward pass waits until that many run at once. `start_grads` are gradients that are there
    already.
    """
    module, seen = build(model), []
    load_tensors(module, values)
    for name, parameter in module.named_parameters():
        parameter.grad = None if start_grads is None else start_grads[name].clone()
    meeting = threading.Barrier(num_shards or 1)

    def look(replica, args):
        seen.append((replica, len(args[0])))
        try:
            meeting.wait(MEETING_S)
        except threading.BrokenBarrierError:
            raise RuntimeError(
                f"The forward passes of {num_shards} replicas did not run at the same time, one thread for each."
            ) from None

    module.register_forward_pre_hook(look)
    loss, gathered = student.data_parallel_step(module, x, y, loss_of, n_replicas, loss_inside=loss_inside)
    return {
        "loss": loss.detach(),
        "gathered": gathered,
        "grads": gradients(module),
        "tensors": tensors_of(module),
        "shard_rows": sorted((rows for _, rows in seen), reverse=True),
        "shares_memory": _share_memory([module, *(replica for replica, _ in seen)]),
    }


def failing_data_parallel_step(student, *, model, x, y, n_replicas, bad_rows):
    """Do one step in which the replica with `bad_rows` rows raises; return the name of what reaches the caller."""
    module = build(model)

    def fail(_, args):
        if len(args[0]) == bad_rows:
            raise ZeroDivisionError("planted in one replica")

    module.register_forward_pre_hook(fail)
    try:
        student.data_parallel_step(module, x, y, loss_of, n_replicas)
    except NotImplementedError:  # a stub
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, its name is the result
        return {"raised": type(error).__name__}
    return {"raised": None}


def _share_memory(modules):
    """Return whether two of these modules hold a parameter or buffer in the same memory."""
    held = [{tensor.data_ptr() for tensor in (*m.parameters(), *m.buffers())} for m in modules]
    return len(set().union(*held)) < sum(map(len, held))


def shard_indices(student, *, calls):
    """Call shard_indices once per dict of arguments.

    `values` holds what each call returned (None where it raised), `errors` the text of its ValueError ("" where it
    returned), `drew` whether it moved torch's global random numbers on.
    """
    DistributedSampler.__init__ = _refusal("DistributedSampler", "shard_indices")
    values, errors, drew = [], [], []
    for arguments in calls:
        before, value, error = torch.get_rng_state(), None, ""
        try:
            value = student.shard_indices(**arguments)
        except ValueError as raised:
            error = f"ValueError: {raised}"
        values.append(value)
        errors.append(error)
        drew.append(not torch.equal(before, torch.get_rng_state()))
    return {"values": values, "errors": errors, "drew": drew}


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
        grads.append(gradients(module))
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
    return {"grads": gradients(module)}


class CountingDDP(DistributedDataParallel):
    """PyTorch's DDP with `finish_grad_sync`, which it does not need itself: it says when the calls come in a wrong order."""

    def __init__(self, module, group):
        super().__init__(module, process_group=group, broadcast_buffers=False)
        self.calls = []

    def forward(self, *args, **kwargs):
        """Note whether this pass will communicate."""
        self.calls.append("pass" if self.require_backward_grad_sync else "pass inside no_sync")
        return super().forward(*args, **kwargs)

    def finish_grad_sync(self):
        """Note the call; PyTorch's backward has waited for its communication already."""
        if not self.calls or self.calls[-1] != "pass":
            raise RuntimeError("finish_grad_sync() does not follow a forward and backward pass outside no_sync().")
        self.calls.append("finish_grad_sync")

    def before_step(self, *_):
        """Note that the optimizer is about to use the gradients."""
        if not self.calls or self.calls[-1] != "finish_grad_sync":
            raise RuntimeError(
                "optimizer.step() does not follow finish_grad_sync(): gradients may still be on their way."
            )
        self.calls.append("step")


def accumulate(student, *, model, values, steps, members=None, with_start_grads=False):
    """Train with the student's accumulate_step and a CountingDDP in the group of `members` (None: all ranks).

    A step is a list of micro-batches [x, y]. `calls` is what became of the DDP and the optimizer, in order, `peak_passes`
    the largest number of forward passes whose graphs were alive at one time.
    """
    group = None if members is None else dist.new_group(members, sort_ranks=False)
    if group is dist.GroupMember.NON_GROUP_MEMBER:
        return {"losses": None, "at_end": None, "calls": None, "peak_passes": None, "has_graph": None}
    module = build(model)
    load_tensors(module, values)
    ddp = CountingDDP(module, group)
    optimizer = torch.optim.SGD(ddp.parameters(), lr=LR, momentum=MOMENTUM)
    optimizer.register_step_pre_hook(ddp.before_step)
    if with_start_grads:
        for parameter in ddp.parameters():
            parameter.grad = torch.ones_like(parameter)
    micro_batches = [[tuple(one) for one in step] for step in steps]
    with LiveActivations(module) as live:
        losses = [student.accumulate_step(ddp, step, loss_of, optimizer) for step in micro_batches]
    return {
        "losses": [torch.as_tensor(loss).detach().double() for loss in losses],
        "has_graph": any(getattr(loss, "requires_grad", False) for loss in losses),
        "at_end": tensors_of(module),
        "calls": ddp.calls,
        "peak_passes": live.peak_passes,
    }


def accumulate_nothing(student, *, model):
    """Call accumulate_step without a micro-batch; return the name of what it raises, and what it changed."""
    module = build(model)
    ddp = CountingDDP(module, None)
    before = tensors_of(module)
    try:
        student.accumulate_step(ddp, [], loss_of, torch.optim.SGD(ddp.parameters(), lr=LR))
    except ValueError:
        return {"raised": "ValueError", "changed": _differ(before, tensors_of(module))}
    return {"raised": None, "changed": _differ(before, tensors_of(module))}


def _differ(one, other):
    return [name for name in one if not torch.equal(one[name], other[name])]


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
    return {"grads": gradients(module)}


def bad_cap(student, *, caps):
    """Wrap a model with each of these caps; return the name of what each raises, None where nothing is raised."""
    raised = []
    for cap in caps:
        try:
            student.BucketedDDP(build("mlp"), cap)
        except ValueError:
            raised.append("ValueError")
        else:
            raised.append(None)
    return {"raised": raised}


def _wrapped(student, model, values, *, members, bucket_cap_bytes, mark_in=None):
    """Return the student's DDP of a model with these values, the model, and whether it kept the model's parameters."""
    DistributedDataParallel.__init__ = _refusal("DistributedDataParallel", "a DDP of your own")
    group = None if members is None else dist.new_group(members, sort_ranks=False)
    if group is dist.GroupMember.NON_GROUP_MEMBER:
        return None, None, None
    module = build(model)
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


def _refusal(name, instead):
    def refuse(*_, **__):
        raise RuntimeError(f"torch's own {name} may not do this exercise's work. Write {instead}.")

    return refuse


# Exercises 4.6 to 4.8


def token_loss(student, *, logits, targets, groups=None, options=None, with_grad=True):
    """Call dp_token_loss in this rank's group and go backward; a barrier stands between the two in the record."""
    given = [logits.clone(), targets.clone()]
    leaf = logits.requires_grad_(with_grad)
    loss = student.dp_token_loss(leaf, targets, group_among(groups), **(options or {}))
    dist.barrier()
    if with_grad:
        loss.backward()
    return {"loss": loss.detach(), "grad": leaf.grad, "changed": _changed(given, [logits, targets])}


def token_loss_under_ddp(student, *, model, values, tokens, targets, groups=None):
    """Average the gradients of dp_token_loss with PyTorch's own DDP, in this rank's group."""
    module, group = build(model), group_among(groups)
    load_tensors(module, values)
    ddp = DistributedDataParallel(module, process_group=group)
    student.dp_token_loss(ddp(tokens), targets, group).backward()
    return {"grads": gradients(module)}


def sync_batch_norm(student, *, x, dy, values, groups=None, options=None):
    """Take x and the gradient dy of the output through a SyncBatchNorm1d that starts with these parameters and buffers.

    A barrier stands between forward and backward in the record.
    """
    given = [x.clone(), dy.clone()]
    norm = student.SyncBatchNorm1d(x.shape[1], group=group_among(groups), **(options or {})).to(x.dtype)
    norm.load_state_dict(values)
    leaf = x.requires_grad_()
    y = norm(leaf)
    dist.barrier()
    y.backward(dy)
    return {
        "y": y.detach(),
        "x_grad": leaf.grad,
        "weight_grad": norm.weight.grad,
        "bias_grad": norm.bias.grad,
        "buffers": dict(norm.named_buffers()),
        "changed": _changed(given, [x, dy]),
    }


def train_with_sync_batch_norm(student, *, values, steps, groups=None):
    """Train a small network with PyTorch's DDP and a SyncBatchNorm1d; a step is [x, y, number of rows on all ranks].

    Gradients are those of the mean over all rows. `at_end` are the parameters and buffers, `y` the output on the last
    step's x after eval().
    """
    group = group_among(groups)
    norm = student.SyncBatchNorm1d(6, group=group)
    module = nn.Sequential(nn.Linear(5, 6), norm, nn.Tanh(), nn.Linear(6, 3)).double()
    module.load_state_dict(values)
    ddp = DistributedDataParallel(module, process_group=group)
    optimizer = torch.optim.SGD(ddp.parameters(), lr=LR, momentum=MOMENTUM)
    for x, y, num_rows in steps:
        optimizer.zero_grad()
        (functional.mse_loss(ddp(x), y, reduction="sum") * dist.get_world_size(group) / num_rows).backward()
        optimizer.step()
    at_end = tensors_of(module)
    return {"at_end": at_end, "y": module.eval()(steps[-1][0]).detach()}


def sync_batch_norm_without_batches(student, *, x, values, repeats):
    """Use a SyncBatchNorm1d after eval(); return what it gave each time and its buffers."""
    norm = student.SyncBatchNorm1d(x.shape[1]).to(x.dtype)
    norm.load_state_dict(values)
    norm.eval()
    ys = [norm(x).detach() for _ in range(repeats)]
    return {"ys": ys, "buffers": dict(norm.named_buffers())}


def fresh_sync_batch_norm(student, *, num_features):
    """Return the state dict of a new SyncBatchNorm1d, and that of an nn.BatchNorm1d that has loaded it."""
    norm = student.SyncBatchNorm1d(num_features)
    other = nn.BatchNorm1d(num_features)
    other.load_state_dict(norm.state_dict())
    trainable = sorted(name for name, parameter in norm.named_parameters() if parameter.requires_grad)
    return {"state": dict(norm.state_dict()), "loaded": dict(other.state_dict()), "trainable": trainable}


def failing_sync_batch_norm(student, *, num_features, x):
    """Return the text of the ValueError that a SyncBatchNorm1d raises on x, and its buffers afterwards."""
    norm = student.SyncBatchNorm1d(num_features).to(x.dtype)
    return {"error": _value_error(norm, x), "buffers": dict(norm.named_buffers())}


def accuracy(student, *, pred, label, valid_mask, groups=None):
    """Call distributed_accuracy in this rank's group."""
    arguments = [pred, label, valid_mask]
    given = [one.clone() for one in arguments]
    value = student.distributed_accuracy(*arguments, group_among(groups))
    return {"accuracy": value, "changed": _changed(given, arguments)}


def failing_accuracy(student, *, pred, label, valid_mask):
    """Return the text of the ValueError that distributed_accuracy raises."""
    return {"error": _value_error(student.distributed_accuracy, pred, label, valid_mask)}


def group_among(groups):
    """Make all these groups, as every rank does, and return the one that this rank is in; None stands for all ranks."""
    made = [dist.new_group(members, sort_ranks=False) for members in groups or ()]
    return next((group for group in made if group is not dist.GroupMember.NON_GROUP_MEMBER), None)


def _changed(given, now):
    """Return for each tensor whether it was written to since `given`, its copy, was made."""
    return [not torch.equal(one.detach(), copy) for copy, one in zip(given, now, strict=True)]


def _value_error(function, *args):
    try:
        function(*args)
    except ValueError as error:
        return f"ValueError: {error}"
    return ""
