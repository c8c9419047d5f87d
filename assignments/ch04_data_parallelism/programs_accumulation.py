"""What runs on every rank in the tests of accumulation.py."""

from functools import partial

import torch
from torch.nn.parallel import DistributedDataParallel

from course_env.meters import LiveActivations
from course_env.rank_programs import WriteWatch, attempt, make_group, stands_aside, tensors_in
from course_env.toy_models import LR, MOMENTUM, build_model, load_tensors, loss_of, tensors_of


def accumulate(student, *, model, values, steps, factors, members=None, with_start_grads=False):
    """Train with the student's accumulate_step, and PyTorch's DDP in the group of `members` (None: all ranks).

    A step is a list of micro-batches [x, y]. `factors` makes the result depend on what becomes of the DDP, and when: see
    `_marked_ddp`. Observed are `calls`, the DDP's passes and the optimizer's steps in order, and `peak_passes`, the largest
    number of passes whose graphs were alive at one time.
    """
    group = make_group(members)
    if stands_aside(group):
        return {"losses": None, "at_end": None}
    module = build_model(model)
    load_tensors(module, values)
    calls = []
    ddp = _marked_ddp(module, group, factors, calls.append)
    optimizer = torch.optim.SGD(ddp.parameters(), lr=LR, momentum=MOMENTUM)
    optimizer.register_step_pre_hook(lambda *_: calls.append("step"))
    if with_start_grads:
        for parameter in ddp.parameters():
            parameter.grad = torch.ones_like(parameter)
    micro_batches = [[tuple(one) for one in step] for step in steps]
    listed, watch = [list(step) for step in micro_batches], WriteWatch(tensors_in(steps))
    with LiveActivations(module) as live:
        losses = [student.accumulate_step(ddp, step, loss_of, optimizer) for step in micro_batches]
    has_graph = any(getattr(loss, "requires_grad", False) for loss in losses)
    return {
        "losses": [loss.detach().double() if isinstance(loss, torch.Tensor) else loss for loss in losses],
        "at_end": tensors_of(module),
        "observed": {
            "calls": calls,
            "peak_passes": live.peak_passes,
            "has_graph": has_graph,
            "written": watch.written(),
            "lists_changed": [_ids(step) for step in micro_batches] != [_ids(step) for step in listed],
        },
    }


def _ids(step):
    """Return which tensors a list of micro-batches holds."""
    return [id(tensor) for tensor in tensors_in(step)]


def _marked_ddp(module, group, factors, note):
    """Return PyTorch's DDP with a `finish_grad_sync`, which it does not need; what is done with it shows in its values.

    `factors["inside"]` and `factors["outside"]` hold a number for each pass inside and outside no_sync(), by which the pass
    multiplies its output; `factors["finish"]` one for each finish_grad_sync(), by which that multiplies all gradients.
    Code that passes the micro-batches in another way, or finishes at another moment, ends with other parameters. The
    numbers come from the test, and are no attribute of anything that the student's code is given.
    """
    left = {name: list(reversed(numbers)) for name, numbers in factors.items()}

    class MarkedDDP(DistributedDataParallel):
        """PyTorch's DDP; each of its calls leaves a mark in the values."""

        def forward(self, *args, **kwargs):
            """Return the output, times the factor of this pass."""
            communicates = self.require_backward_grad_sync
            note("pass" if communicates else "pass inside no_sync")
            numbers = left["outside" if communicates else "inside"]
            return super().forward(*args, **kwargs) * (numbers.pop() if numbers else 0.0)

        def finish_grad_sync(self):
            """Multiply the gradients by the factor of this call; PyTorch's backward has waited for its communication."""
            note("finish_grad_sync")
            factor = left["finish"].pop() if left["finish"] else 0.0
            for parameter in module.parameters():
                if parameter.grad is not None:
                    parameter.grad.mul_(factor)

    return MarkedDDP(module, process_group=group, broadcast_buffers=False)


def one_pass(student, *, model, values, steps, members=None):
    """Do what one micro-batch after the other needs, without the student's file: for what that takes of memory."""
    del student
    module = build_model(model)
    load_tensors(module, values)
    ddp = DistributedDataParallel(module, process_group=make_group(members), broadcast_buffers=False)
    optimizer = torch.optim.SGD(ddp.parameters(), lr=LR, momentum=MOMENTUM)
    watch = WriteWatch(tensors_in(steps))  # `accumulate` has one, which holds a copy of all of them
    for step in steps:
        for x, y in step:
            loss_of(ddp(x), y).backward()
        optimizer.step()
    return {"done": not any(watch.written())}


def accumulate_nothing(student, *, model, values):
    """Call accumulate_step without a micro-batch; return its ValueError, and the parameters and buffers afterwards."""
    module = build_model(model)
    load_tensors(module, values)
    ddp = _marked_ddp(module, None, {"inside": [], "outside": [], "finish": []}, lambda _: None)
    step = partial(student.accumulate_step, ddp, [], loss_of, torch.optim.SGD(ddp.parameters(), lr=LR))
    _, error = attempt(step)
    return {"error": error, "at_end": tensors_of(module)}
