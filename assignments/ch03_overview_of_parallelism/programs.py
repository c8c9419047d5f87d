"""What runs in the sandbox in the tests of this chapter."""

from functools import partial

import torch.distributed as dist

from course_env.rank_programs import attempt


def plan(student, *, cfg, n_gpus, gpus_per_node, mem_bytes, global_batch, costs, strict=False):
    """Plan with costs from a table of (layout, bytes, seconds); note which other layouts were asked about, and which twice.

    seconds of a layout that does not fit raises, as running it would.
    strict: from the first question about another layout, or the second about one, nothing fits and the slowest is the fastest
    """
    table = {layout: (num_bytes, seconds) for layout, num_bytes, seconds in costs}
    asked = {"memory": [], "seconds": []}

    def ask(what, layout):
        asked[what].append(layout)
        num_bytes, seconds = table.get(layout, (0, 0.0))
        if strict and not all(len(one) == len(set(one)) and set(one) <= set(table) for one in asked.values()):
            num_bytes, seconds = mem_bytes + 1, -seconds
        elif what == "seconds" and num_bytes > mem_bytes:
            raise RuntimeError(
                f"seconds was asked about a layout that takes {num_bytes} of {mem_bytes} bytes: {layout}"
            )
        return {"memory": num_bytes, "seconds": seconds}[what]

    plans = student.plan_layouts(
        cfg,
        n_gpus,
        gpus_per_node,
        mem_bytes,
        global_batch,
        memory=lambda layout: ask("memory", layout),
        seconds=lambda layout: ask("seconds", layout),
    )
    observed = {
        "unknown": [layout for layouts in asked.values() for layout in layouts if layout not in table],
        "twice": {what: len(layouts) - len(set(layouts)) for what, layouts in asked.items()},
    }
    return {"plans": plans, "observed": observed}


def partition(student, *, costs, stages):
    """Split layers into stages; return the costs as well, as they are after the call."""
    return {"counts": student.partition_layers(costs, stages), "costs": costs}


def average(student, *, x):
    """Average x over the ranks by the library's own all-reduce; the student's file has no part in it."""
    del student
    mean = x.clone()
    dist.all_reduce(mean)
    return {"x": x, "y": mean / dist.get_world_size()}


def refused_plans(student, *, cfg, calls):
    """Plan with each dict of sizes; return the plans and the ValueErrors, as `call_each` does."""

    def plan_with(sizes):
        return student.plan_layouts(cfg, mem_bytes=1, memory=lambda _: 0, seconds=lambda _: 0.0, **sizes)

    ends = [attempt(partial(plan_with, sizes)) for sizes in calls]
    return {"values": [value for value, _ in ends], "errors": [error for _, error in ends]}
