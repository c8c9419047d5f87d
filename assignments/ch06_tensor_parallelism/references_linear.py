"""Baselines and assertions that the public and the hidden tests of linear.py share."""

import torch
from torch import nn

from assignments.ch06_tensor_parallelism.programs_linear import LR
from grader.harness import PerRank, assert_matches

ROUNDED = {"rtol": 1e-6, "atol": 1e-7}  # first weights are drawn in float32


def random(*shape):
    """Return normal numbers in float64."""
    return torch.randn(shape, dtype=torch.float64)


def linear(d_in, d_out, *, bias=True):
    """Return an nn.Linear with weights and bias of order 1."""
    layer = nn.Linear(d_in, d_out, bias=bias).double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    return layer


def mlp(d, d_ff):
    """Return the MLP as one process has it; 0 is `up` and 2 is `down`."""
    return nn.Sequential(linear(d, d_ff), nn.GELU(), linear(d_ff, d))


def whole_of(module):
    """Return what `programs.load` takes: weight and bias of each layer."""
    layers = {"only": module} if isinstance(module, nn.Linear) else {"up": module[0], "down": module[2]}
    return {name: [p.detach().clone() for p in layer.parameters()] for name, layer in layers.items()}


def shard(tensor, dim, size):
    """Return the equal parts of a tensor along a dim, or the whole tensor for each rank if dim is None."""
    return [tensor] * size if dim is None else [part.contiguous() for part in tensor.chunk(size, dim)]


def parts(module, kind, size, of):
    """Return by name, for each rank, the parts of what `of` gives of each parameter."""
    cuts = {"column": {"weight": 0, "bias": 0}, "row": {"weight": 1, "bias": None}}
    layers = {"": (module, kind)} if kind != "mlp" else {"up.": (module[0], "column"), "down.": (module[2], "row")}
    named = {
        prefix + name: shard(of(parameter), cuts[which][name], size)
        for prefix, (layer, which) in layers.items()
        for name, parameter in layer.named_parameters()
    }
    return [{name: named[name][rank] for name in named} for rank in range(size)]


def given(kind, size, xs, dys, *, varying_x=False, varying_y=False):
    """Return x and dy of each rank, cut along the last dim where they are varying."""
    cut_x, cut_y = -1 if varying_x else None, -1 if varying_y else None
    return {
        "xs": [list(one) for one in zip(*(shard(x, cut_x, size) for x in xs), strict=True)],
        "dys": [list(one) for one in zip(*(shard(dy, cut_y, size) for dy in dys), strict=True)],
    }


def assert_right(run, module, kind, size, xs, dys, *, varying_x=False, varying_y=False, members=None):  # noqa: PLR0917 - as launched
    """Assert that outputs and all gradients are those of one process, after each pass, and parameters the shards.

    members: the ranks of the group, in group order; default: all. Other ranks are not looked at.
    """
    members = members or range(size)
    ys, x_grads = [], []
    for x, dy in zip(xs, dys, strict=True):
        leaf = x.clone().requires_grad_()
        y = module(leaf)
        y.backward(dy)
        ys.append(shard(y.detach(), -1 if varying_y else None, size))
        x_grads.append(shard(leaf.grad, -1 if varying_x else None, size))
    found = {name: [run[name][rank] for rank in members] for name in ("ys", "x_grads", "parameters", "grads")}
    due = {
        "parameters": parts(module, kind, size, lambda p: p.detach()),
        "ys": [[y[at] for y in ys] for at in range(size)],
        "x_grads": [[grad[at] for grad in x_grads] for at in range(size)],
        "grads": parts(module, kind, size, lambda p: p.grad),
    }
    what = {"parameters": "parameters after load_full", "ys": "y", "x_grads": "gradient of x", "grads": "gradients"}
    for name, expected in due.items():
        mistakes = {}
        if name == "x_grads" and size > 1:
            words = "summed over the ranks once more, where each has the whole gradient already"
            mistakes = {words: PerRank([size * one for one in grads] for grads in expected)}
        if name == "ys" and kind == "row" and module.bias is not None and size > 1:
            words = "the bias is added by every rank before the sum, so it is in there N times"
            mistakes = {words: PerRank([y + (size - 1) * module.bias.detach() for y in ys] for ys in expected)}
        if name == "grads" and kind == "row" and module.bias is not None and size > 1:
            mistakes = {
                f"the gradient of the bias is {word}": PerRank(one | {"bias": factor * one["bias"]} for one in expected)
                for word, factor in (
                    ("summed over the ranks, where each has the whole of it already", size),
                    ("divided by N: every rank's bias is the whole bias", 1 / size),
                )
            }
        assert_matches(PerRank(found[name]), PerRank(expected), what=what[name], mistakes=mistakes or None)


def assert_traffic(comm, due, passes=1):
    """Each pass communicates what is due forward and backward, lists of (kind, elements); constructor and loading nothing."""
    for rank in range(comm.world_size):
        sections = [[]]
        for op in comm.ops(rank=rank):
            if op.op == "barrier":
                sections.append([])
            else:
                sections[-1].append((op.kind, op.payload_bytes // op.itemsize))
        for done, direction in zip(
            sections, ["constructor and load_full", *["forward", "backward"] * passes], strict=True
        ):
            wanted = due.get(direction, [])
            assert done == wanted, f"{direction}: rank {rank} communicates {_words(done)}; due is {_words(wanted)}."


def _words(calls):
    return ", ".join(f"one {kind} of {elements} elements" for kind, elements in calls) or "nothing"


def first_weight(d_in, d_out, seed):
    """Return the matrix that a layer's contract says it begins with."""
    u = torch.rand(d_out, d_in, generator=torch.Generator().manual_seed(seed)).double()
    return (2 * u - 1) / d_in**0.5


def fresh_mlps(d, d_ff, seeds):
    """Return residual MLPs as one process has them, with the first weights of the contract."""
    mlps = nn.ModuleList([mlp(d, d_ff) for _ in seeds])
    with torch.no_grad():
        for one, seed in zip(mlps, seeds, strict=True):
            for layer, (d_in, d_out), own in ((one[0], (d, d_ff), seed), (one[2], (d_ff, d), seed + 1)):
                layer.weight.copy_(first_weight(d_in, d_out, own))
                layer.bias.zero_()
    return mlps


def train(mlps, steps):
    """Train as `programs.train` does, in one process; return the losses."""
    losses = []
    for x, target in steps:
        y = x
        for one in mlps:
            y = y + one(y)
        loss = (y - target).square().mean()
        mlps.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter in mlps.parameters():
                parameter.sub_(LR * parameter.grad)
        losses.append(loss.detach())
    return losses


def stacked_parts(mlps, size):
    """Return for each rank the parameters of a ModuleList of ParallelMLPs, by name."""
    per_layer = [parts(one, "mlp", size, lambda p: p.detach().clone()) for one in mlps]
    return [
        {f"{at}.{name}": value for at, layer in enumerate(per_layer) for name, value in layer[rank].items()}
        for rank in range(size)
    ]
