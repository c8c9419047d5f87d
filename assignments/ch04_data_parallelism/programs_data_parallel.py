"""What runs in the sandbox in the tests of data_parallel.py."""

import threading
from functools import partial
from itertools import combinations

from course_env.rank_programs import attempt, share_memory
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
    loss, gathered = student.data_parallel_step(module, x, y, loss_of, n_replicas, loss_inside=loss_inside)
    return {
        "loss": loss.detach(),
        "gathered": gathered,
        "grads": gradients_of(module),
        "tensors": tensors_of(module),
        "shard_rows": sorted((rows for _, rows in seen), reverse=True),
        "observed": {"shares_memory": _any_share_memory([module, *(replica for replica, _ in seen)])},
    }


def failing_data_parallel_step(student, *, model, x, y, n_replicas, bad_rows):
    """Do one step in which the replica with `bad_rows` rows raises; return the error that reaches the caller."""
    module = build_model(model)

    def fail(_, args):
        if len(args[0]) == bad_rows:
            raise ZeroDivisionError("planted in one replica")

    module.register_forward_pre_hook(fail)
    step = partial(student.data_parallel_step, module, x, y, loss_of, n_replicas)
    return {"error": attempt(step, (ZeroDivisionError, ValueError))[1]}


def _any_share_memory(modules):
    """Return whether two of these modules hold a parameter or buffer in the same memory."""
    held = [[*module.parameters(), *module.buffers()] for module in modules]
    return any(share_memory(one, other) for one, other in combinations(held, 2))
