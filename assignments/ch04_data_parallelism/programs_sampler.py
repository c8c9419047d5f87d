"""What runs in the sandbox in the tests of sampler.py."""

from functools import partial

import torch
from torch.utils.data.distributed import DistributedSampler

from course_env.rank_programs import attempt

REFUSED = {DistributedSampler: "shard_indices"}


def shard_indices(student, *, calls):
    """Call shard_indices once per dict of arguments.

    `values` and `errors` are as in `call_each`, `drew` says whether a call moved torch's global random numbers on.
    """
    values, errors, drew = [], [], []
    for arguments in calls:
        before = torch.get_rng_state()
        value, error = attempt(partial(student.shard_indices, **arguments))
        values.append(value)
        errors.append(error)
        drew.append(not torch.equal(before, torch.get_rng_state()))
    return {"values": values, "errors": errors, "drew": drew}
