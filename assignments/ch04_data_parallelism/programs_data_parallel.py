"""What runs in the sandbox in the tests of data_parallel.py."""

import threading
from functools import partial
from itertools import combinations

import torch

from course_env.rank_programs import WriteWatch, attempt, share_memory
from course_env.toy_models import build_model, gradients_of, load_tensors, loss_of, tensors_of

MEETING_S = 1.0


def data_parallel_step(student, *, model, values, x, y, n_replicas, loss_inside, start_grads=None, num_shards=None):
    """Do one step; report what happened to the module, and what was seen of its replicas.

    With `num_shards`, each forward pass waits until that many run at once. `start_grads` are gradients that are there
    already.
    """
    module, seen = build_model(model), []
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
    watch = WriteWatch([x, y])
    loss, gathered = student.data_parallel_step(module, x, y, loss_of, n_replicas, loss_inside=loss_inside)
    written = watch.written()
    return {
        "loss": loss.detach(),
        "gathered": gathered,
        "grads": gradients_of(module),
        "tensors": tensors_of(module),
        "shard_rows": sorted((rows for _, rows in seen), reverse=True),
        "observed": {
            "replicas_share_memory": _any_share_memory([module, *(replica for replica, _ in seen)]),
            "written": written,
        },
    }


def failing_data_parallel_step(student, *, model, values, x, y, n_replicas, bad_rows, good_replicas):
    """Do one step in which the replicas that get these rows of x raise, the last of them first; then a good step.

    Return the error that reaches the caller, and the loss of the step with `good_replicas` in which none raises.
    """
    module, planted = build_model(model), [x[row].clone() for row in bad_rows]
    load_tensors(module, values)
    raised = [threading.Event() for _ in planted]

    def fail(_, args):
        for number, row in enumerate(planted):
            if any(torch.equal(row, one) for one in args[0]):
                if number + 1 < len(planted):
                    raised[number + 1].wait(MEETING_S)
                raised[number].set()
                raise ZeroDivisionError(f"planted in the replica that got row {bad_rows[number]}")

    hook = module.register_forward_pre_hook(fail)
    step = partial(student.data_parallel_step, module, x, y, loss_of, n_replicas)
    error = attempt(step, (ZeroDivisionError, ValueError))[1]
    hook.remove()
    loss, _ = student.data_parallel_step(module, x, y, loss_of, good_replicas)
    return {"error": error, "loss": loss.detach()}


def _any_share_memory(modules):
    """Return whether two of these modules hold a parameter or buffer in the same memory."""
    held = [[*module.parameters(), *module.buffers()] for module in modules]
    return any(share_memory(one, other) for one, other in combinations(held, 2))
