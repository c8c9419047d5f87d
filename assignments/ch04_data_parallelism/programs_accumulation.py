"""What runs on every rank in the tests of accumulation.py."""

from functools import partial

import torch
from torch.nn.parallel import DistributedDataParallel

from course_env.meters import LiveActivations
from course_env.rank_programs import attempt, make_group, same, stands_aside
from course_env.toy_models import LR, MOMENTUM, build_model, load_tensors, loss_of, tensors_of


class CountingDDP(DistributedDataParallel):
    """PyTorch's DDP with a `finish_grad_sync`, which it does not need; it raises if calls come in the wrong order."""

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
    group = make_group(members)
    if stands_aside(group):
        return {"losses": None, "at_end": None, "calls": None, "peak_passes": None, "has_graph": None}
    module = build_model(model)
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
    """Call accumulate_step without a micro-batch; return its ValueError, and the names of the tensors that it changed."""
    module = build_model(model)
    ddp = CountingDDP(module, None)
    before = tensors_of(module)
    step = partial(student.accumulate_step, ddp, [], loss_of, torch.optim.SGD(ddp.parameters(), lr=LR))
    _, error = attempt(step)
    after = tensors_of(module)
    return {"error": error, "changed": [name for name in before if not same(before[name], after[name])]}
