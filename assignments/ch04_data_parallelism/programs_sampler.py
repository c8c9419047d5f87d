"""What runs in the sandbox in the tests of sampler.py."""

from functools import partial

import torch
from torch.utils.data.distributed import DistributedSampler

from course_env.rank_programs import attempt

REFUSED = {DistributedSampler: "shard_indices"}


def shard_indices(student, *, calls, global_seed):
    """Call shard_indices once per dict of arguments.

    `values` and `errors` are as in `call_each`. Before each call torch's global generator is seeded with `global_seed`, and
    `next` is what it draws after the call.
    """
    values, errors, following = [], [], []
    for arguments in calls:
        torch.manual_seed(global_seed)
        value, error = attempt(partial(student.shard_indices, **arguments))
        values.append(value)
        errors.append(error)
        following.append(torch.rand(4))
    return {"values": values, "errors": errors, "next": following}
