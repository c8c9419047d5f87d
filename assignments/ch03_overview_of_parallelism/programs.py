"""What runs in the sandbox in the tests of this chapter."""

from functools import partial

import torch.distributed as dist

from course_env.rank_programs import attempt, share_memory


def shard(student, *, x, dim, rank, world, mode, by_columns):
    """Cut this rank's piece out of x; also whether it shares x's memory, and whether it is contiguous.

    by_columns: let x, a matrix, lie in memory column by column
    """
    if by_columns:
        x = x.t().contiguous().t()
    piece = student.shard(x, dim, rank, world, mode)
    observed = {"shares_memory": share_memory([piece], [x]), "contiguous": piece.is_contiguous()}
    return {"piece": piece, "x": x, "observed": observed}


def unshard(student, *, pieces, dim):
    """Put pieces together again."""
    return {"whole": student.unshard(pieces, dim)}


def plan(student, *, cfg, n_gpus, gpus_per_node, mem_bytes, global_batch, costs):
    """Plan with costs from a table of (layout, bytes, seconds); count questions about other layouts, and repeated ones."""
    table = {layout: (num_bytes, seconds) for layout, num_bytes, seconds in costs}
    asked = {"memory": [], "seconds": []}

    def ask(what, layout):
        asked[what].append(layout)
        return table.get(layout, (0, 0.0))[what == "seconds"]

    plans = student.plan_layouts(
        cfg,
        n_gpus,
        gpus_per_node,
        mem_bytes,
        global_batch,
        memory=lambda layout: ask("memory", layout),
        seconds=lambda layout: ask("seconds", layout),
    )
    unknown = sum(layout not in table for layouts in asked.values() for layout in layouts)
    twice = sum(len(layouts) - len(set(layouts)) for layouts in asked.values())
    return {"plans": list(plans), "observed": {"unknown": unknown, "twice": twice}}


def average(student, *, x):
    """Average x over the ranks by the library's own all-reduce; the student's file has no part in it."""
    del student
    mean = x.clone()
    dist.all_reduce(mean)
    return {"x": x, "y": mean / dist.get_world_size()}


def refused_plans(student, *, cfg, calls):
    """Plan with each dict of sizes; return the ValueErrors."""

    def plan_with(sizes):
        return student.plan_layouts(cfg, mem_bytes=1, memory=lambda _: 0, seconds=lambda _: 0.0, **sizes)

    return {"errors": [attempt(partial(plan_with, sizes))[1] for sizes in calls]}
