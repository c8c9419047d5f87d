"""Baselines and assertions that the public and the hidden tests of operators.py share."""

import torch

from grader.harness import PerRank, assert_matches, assert_unchanged

NAMES = ("copy_to_tp", "reduce_from_tp", "scatter_to_tp", "gather_from_tp")

MISTAKES = {
    "reduce_from_tp": "summed over the ranks, where each has the whole gradient already",
    "gather_from_tp": "summed over the ranks, where each has the whole gradient already",
    "scatter_to_tp": "N times too large, as if the parts' gradients were summed and not put side by side",
}
"""What makes a gradient N times too large."""


def case(op, world_size, shape=(3, 12), dim=-1, *, transposed=False):
    """Return one case of `programs.operators` for each rank, with x and dy of the types that the operator asks for.

    shape: that of what the operator is given
    transposed: whether the operator is given a transposed tensor, and a gradient that is one
    """
    one_x, one_dy = op in ("copy_to_tp", "scatter_to_tp"), op in ("reduce_from_tp", "gather_from_tp")
    like = list(shape)
    if op == "scatter_to_tp":
        like[dim] //= world_size
    if op == "gather_from_tp":
        like[dim] *= world_size
    xs = [torch.randn(shape, dtype=torch.float64) for _ in range(1 if one_x else world_size)]
    dys = [torch.randn(like, dtype=torch.float64) for _ in range(1 if one_dy else world_size)]
    options = {} if op in ("copy_to_tp", "reduce_from_tp") or dim == -1 else {"dim": dim}
    if transposed:
        xs, options = [x.mT.contiguous() for x in xs], options | {"transposed": True}
    return [
        {"op": op, "x": xs[0 if one_x else rank], "dy": dys[0 if one_dy else rank], "options": options}
        for rank in range(world_size)
    ]


def one_process(cases):
    """Return y and the gradient of x for each of the ranks of one group: all of them in one program, and one autograd."""
    op, dim = cases[0]["op"], cases[0]["options"].get("dim", -1)
    flip = cases[0]["options"].get("transposed", False)
    leaves = [case["x"].clone().requires_grad_() for case in cases]
    hidden = [torch.tanh(leaf.mT if flip else leaf) for leaf in leaves]
    dys = [case["dy"] for case in cases]
    size = len(cases)
    if op == "copy_to_tp":
        ys, losses = [hidden[0]] * size, [(hidden[0] * dy).sum() for dy in dys]
    elif op == "scatter_to_tp":
        ys = list(hidden[0].chunk(size, dim))
        losses = [(y * dy).sum() for y, dy in zip(ys, dys, strict=True)]
    else:
        y = sum(hidden) if op == "reduce_from_tp" else torch.cat(hidden, dim)
        ys, losses = [y] * size, [(y * dys[0]).sum()]
    sum(losses).backward()
    one_x = op in ("copy_to_tp", "scatter_to_tp")
    return [
        {"y": ys[rank].detach(), "x_grad": leaves[0 if one_x else rank].grad, "dy": dys[rank]} for rank in range(size)
    ]


def assert_right(run, cases_per_rank, groups=None):
    """Each rank has the values and gradients of one process, by case, and its arguments are as they were."""
    groups = groups or [list(range(len(cases_per_rank)))]
    for number, first in enumerate(cases_per_rank[0]):
        due = {}
        for members in groups:
            due |= dict(zip(members, one_process([cases_per_rank[rank][number] for rank in members]), strict=True))
        found = PerRank(results[number] for results in run["results"])
        for name in ("y", "x_grad"):
            right = [due[rank][name] for rank in sorted(due)]
            size = len(groups[0])
            mistakes = {MISTAKES[first["op"]]: PerRank(size * one for one in right)} if first["op"] in MISTAKES else {}
            mistakes |= {"divided by N, where the sum is due": PerRank(one / size for one in right)}
            assert_matches(
                PerRank(one[name] for one in found),
                PerRank(right),
                what=f"{name} of {first['op']}",
                mistakes=mistakes if size > 1 and name == "x_grad" else None,
            )
        assert_unchanged(
            PerRank(one["dy"] for one in found),
            PerRank(due[rank]["dy"] for rank in sorted(due)),
            f"the gradient of the result of {first['op']}",
        )
        hidden = [torch.tanh(cases[number]["x"]) for cases in cases_per_rank]
        assert_unchanged(PerRank(one["hidden"] for one in found), PerRank(hidden), f"x of {first['op']}")


def assert_traffic(comm, cases_per_rank, size):
    """Each operator communicates in its one direction only, by one collective of the right size."""
    for rank, cases in enumerate(cases_per_rank):
        parts = _split_at_barriers(comm.ops(rank=rank))
        for number, case in enumerate(cases):
            elements = max(case["x"].numel(), case["dy"].numel()) if size > 1 else case["x"].numel()
            due = {
                "copy_to_tp": ([], [("all_reduce", elements)]),
                "reduce_from_tp": ([("all_reduce", elements)], []),
                "scatter_to_tp": ([], [("all_gather", elements)]),
                "gather_from_tp": ([("all_gather", elements)], []),
            }[case["op"]]
            for at, direction in enumerate(("forward", "backward")):
                done = [(op.kind, op.payload_bytes // op.itemsize) for op in parts[2 * number + at]]
                assert done == due[at], (
                    f"{case['op']}, {direction}: rank {rank} communicates {_words(done)}; due is {_words(due[at])}."
                )


def _split_at_barriers(ops):
    parts = [[]]
    for op in ops:
        if op.op == "barrier":
            parts.append([])
        else:
            parts[-1].append(op)
    return parts


def _words(calls):
    return ", ".join(f"one {kind} of {elements} elements" for kind, elements in calls) or "nothing"
