"""Baselines and assertions that the public and the hidden tests of sequence_parallel.py share."""

import torch
from torch.nn import functional

from assignments.ch06_tensor_parallelism.programs_sequence_parallel import NAMES, PartialAttention, PartialMLP
from grader.harness import PerRank, assert_matches, assert_unchanged


def random(*shape):
    """Return normal numbers in float64."""
    return torch.randn(shape, dtype=torch.float64)


def case(op, size, shape=(2, 6, 3), dim=None, *, transposed=False):
    """Return one case of `programs.operators` for each rank; `shape` is that of what the operator is given."""
    like = list(shape)
    at = 1 if dim is None else dim
    like[at] = like[at] * size if op == "gather_from_sp" else like[at] // size
    options = {} if dim is None else {"dim": dim}
    xs = [random(*shape) for _ in range(size)]
    xs = [x.mT.contiguous() for x in xs] if transposed else xs
    return [{"op": op, "x": x, "dy": random(*like), "options": options, "transposed": transposed} for x in xs]


def one_process(cases):
    """Return y and the gradient of x for each of the ranks of one group: all of them in one program, and one autograd."""
    op, dim, size = cases[0]["op"], cases[0]["options"].get("dim", 1), len(cases)
    leaves = [one["x"].clone().requires_grad_() for one in cases]
    hidden = [torch.tanh(leaf.mT if one["transposed"] else leaf) for leaf, one in zip(leaves, cases, strict=True)]
    ys = [torch.cat(hidden, dim)] * size if op == "gather_from_sp" else sum(hidden).chunk(size, dim)
    sum((y * one["dy"]).sum() for y, one in zip(ys, cases, strict=True)).backward()
    return [
        {"y": y.detach(), "x_grad": leaf.grad, "dy": one["dy"]} for y, leaf, one in zip(ys, leaves, cases, strict=True)
    ]


def assert_operators(run, cases_per_rank, groups=None):
    """Each rank has the values and gradients of one process, by case, and its arguments are as they were."""
    groups = groups or [list(range(len(cases_per_rank)))]
    for number, first in enumerate(cases_per_rank[0]):
        due = {}
        for members in groups:
            due |= dict(zip(members, one_process([cases_per_rank[rank][number] for rank in members]), strict=True))
        found = [results[number] for results in run["results"]]
        for name in ("y", "x_grad"):
            wanted = PerRank(due[rank][name] for rank in sorted(due))
            mistakes = {}
            if name == "x_grad" and first["op"] == "gather_from_sp" and len(groups) == 1 and not first["transposed"]:
                dim, size = first["options"].get("dim", 1), len(cases_per_rank)
                own = [cases[number]["dy"].chunk(size, dim)[rank] for rank, cases in enumerate(cases_per_rank)]
                slopes = [1 - torch.tanh(cases[number]["x"]) ** 2 for cases in cases_per_rank]
                mistakes = {
                    "each rank keeps its part of its own gradient, which is partial: the sum is due": PerRank(
                        part * slope for part, slope in zip(own, slopes, strict=True)
                    )
                }
            what = f"{name} of {first['op']}"
            assert_matches(PerRank(one[name] for one in found), wanted, what=what, mistakes=mistakes or None)
        wanted = PerRank(due[rank]["dy"] for rank in sorted(due))
        assert_unchanged(PerRank(one["dy"] for one in found), wanted, f"the gradient of the result of {first['op']}")
        hidden = PerRank(torch.tanh(cases[number]["x"]) for cases in cases_per_rank)
        assert_unchanged(PerRank(one["hidden"] for one in found), hidden, f"x of {first['op']}")


def sections_of(comm, rank):
    """Return what a rank calls between the program's barriers, as (kind, elements of the whole)."""
    sections = [[]]
    for op in comm.ops(rank=rank):
        if op.op == "barrier":
            sections.append([])
        else:
            sections[-1].append((op.kind, op.payload_bytes // op.itemsize))
    return sections


def assert_operator_traffic(comm, cases_per_rank):
    """Each operator calls one collective forward and its counterpart backward, of the size of the whole."""
    for rank, cases in enumerate(cases_per_rank):
        sections = sections_of(comm, rank)
        for number, one in enumerate(cases):
            whole = max(one["x"].numel(), one["dy"].numel())
            kinds = ["all_gather", "reduce_scatter"]
            kinds = kinds if one["op"] == "gather_from_sp" else kinds[::-1]
            for at, direction in enumerate(("forward", "backward")):
                done, due = sections[2 * number + at], [(kinds[at], whole)]
                assert done == due, f"{one['op']}, {direction}: rank {rank} calls {_words(done)}; due is {_words(due)}."


def weights(size, d=4, hidden=3):
    """Return each rank's weights of attention and MLP, and the values of norms and biases."""
    parts = [
        {"qkv": random(3, 2, d), "out": random(d, 2), "up": random(hidden, d), "down": random(d, hidden)}
        for _ in range(size)
    ]
    return parts, {name: random(d) for name in NAMES}


def factors_for(size, tokens):
    """Return for each rank a factor for each of its tokens, for either norm."""
    return [{name: 1 + random(tokens, 1).abs() for name in ("norm1", "norm2")} for _ in range(size)]


def steps_for(size, tokens, d=4, passes=(1,)):
    """Return for each rank its steps, of so many passes [x, dy] each, all of another batch size."""
    sizes = [[2 - number % 2 for number in range(count)] for count in passes]
    return [
        [[[random(rows, tokens, d), random(rows, tokens, d)] for rows in step] for step in sizes] for _ in range(size)
    ]


def whole_block(x, modules, shared, factors):
    """Return what one process computes for the whole sequence; the sum over ranks is a plain sum."""
    for norm, kind, bias in (("norm1", 0, "attention_bias"), ("norm2", 1, "mlp_bias")):
        normed = functional.layer_norm(x, x.shape[-1:], shared[f"{norm}.weight"], shared[f"{norm}.bias"])
        normed = normed * torch.cat([one[norm] for one in factors])
        x = x + sum(pair[kind](normed) for pair in modules) + shared[bias]
    return x


def assert_block(run, parts, shared, factors, steps, members=None):  # noqa: PLR0917 - as launched
    """After each step outputs and all gradients are those of one process with the whole sequence.

    members: the ranks of the group, in group order; default: all. The lists are those of these ranks.
    """
    members, size = members or range(len(parts)), len(parts)
    modules = [(PartialAttention(one["qkv"], one["out"]), PartialMLP(one["up"], one["down"])) for one in parts]
    leaves = {name: value.clone().requires_grad_() for name, value in shared.items()}
    zeros = {
        name: torch.zeros_like(value) + (1.0 if name.endswith("weight") else 0.0) for name, value in shared.items()
    }
    assert_matches(PerRank(run["at_start"][rank] for rank in members), zeros, what="norms and biases of a new block")
    for number, step in enumerate(zip(*steps, strict=True)):
        for leaf in [*leaves.values(), *(p for pair in modules for module in pair for p in module.parameters())]:
            leaf.grad = None
        ys, x_grads = [[] for _ in members], [[] for _ in members]
        for per_rank in zip(*step, strict=True):
            xs = [x.clone().requires_grad_() for x, _ in per_rank]
            y = whole_block(torch.cat(xs, 1), modules, leaves, factors)
            y.backward(torch.cat([dy for _, dy in per_rank], 1))
            for at, x in enumerate(xs):
                ys[at].append(y.detach().chunk(size, 1)[at])
                x_grads[at].append(x.grad)
        found = [run["results"][rank][number] for rank in members]
        wrong = _wrong_blocks(step, parts, shared, factors)
        assert_matches(PerRank(one["ys"] for one in found), PerRank(ys), what="y", mistakes=wrong)
        assert_matches(PerRank(one["x_grads"] for one in found), PerRank(x_grads), what="gradient of x")
        own = [
            {f"attention.{name}": p.grad for name, p in pair[0].named_parameters()}
            | {f"mlp.{name}": p.grad for name, p in pair[1].named_parameters()}
            for pair in modules
        ]
        grads = [{name: leaf.grad for name, leaf in leaves.items()} | one for one in own]
        assert_matches(
            PerRank(one["grads"] for one in found), PerRank(grads), what="gradients after finish_grad_sync()"
        )


def _wrong_blocks(step, parts, shared, factors):
    """Return the results that known mistakes give, by their names, for each rank."""
    size = len(parts)
    modules = [(PartialAttention(one["qkv"], one["out"]), PartialMLP(one["up"], one["down"])) for one in parts]
    variants = {
        f"{which} runs on the tokens of all ranks, or is not called as a module": (shared, which)
        for which in ("norm1", "norm2")
    }
    if size > 1:
        for name in ("attention_bias", "mlp_bias"):
            variants[f"{name} is added by every rank before the sum"] = (shared | {name: size * shared[name]}, "")
    wrong = {}
    for words, (values, plain) in variants.items():
        used = [one | ({plain: torch.ones_like(one[plain])} if plain else {}) for one in factors]
        with torch.no_grad():
            wholes = [
                whole_block(torch.cat([x for x, _ in per_rank], 1), modules, values, used).chunk(size, 1)
                for per_rank in zip(*step, strict=True)
            ]
        wrong[words] = PerRank([y[rank] for y in wholes] for rank in range(size))
    return wrong


def assert_block_traffic(comm, elements, d):
    """Each pass gathers and reduce-scatters twice in each direction, which is as much as two all-reduces; then one sum of 6 d."""
    for rank in range(comm.world_size):
        constructor, forward, backward, finish = sections_of(comm, rank)
        assert not constructor, f"Rank {rank} communicates in the constructor."
        due = sorted([("all_gather", elements)] * 2 + [("reduce_scatter", elements)] * 2)
        for direction, done in (("forward", forward), ("backward", backward)):
            assert sorted(done) == due, f"{direction}: rank {rank} calls {_words(done)}; due is {_words(due)}."
        due = [("all_reduce", 6 * d)]
        assert finish == due, f"finish_grad_sync(): rank {rank} calls {_words(finish)}; due is {_words(due)}."


def _words(calls):
    return ", ".join(f"one {kind} of {elements} elements" for kind, elements in calls) or "nothing"
