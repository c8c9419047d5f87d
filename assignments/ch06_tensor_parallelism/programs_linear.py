"""What runs on every rank in the tests of linear.py."""

from functools import partial

import torch
import torch.distributed as dist

from course_env.rank_programs import attempt, group_among

CLASSES = {"column": "ColumnParallelLinear", "row": "RowParallelLinear", "mlp": "ParallelMLP"}
LR = 0.1


def make(student, kind, sizes, options, group):
    """Return a layer in float64; what its own generator draws, it draws in float32 before."""
    return getattr(student, CLASSES[kind])(*sizes, group=group, **options).double()


def load(layer, whole):
    """Hand a layer, or both layers of an MLP, the whole weights and biases."""
    if "up" in whole:
        layer.up.load_full(*whole["up"])
        layer.down.load_full(*whole["down"])
    else:
        layer.load_full(*whole["only"])


def parameters_of(layer):
    """Return copies of a module's parameters, by name."""
    return {name: parameter.detach().clone() for name, parameter in layer.named_parameters()}


def passes(student, *, kind, sizes, whole, xs, dys, options=None, groups=None):
    """Load a layer with whole weights, and take each x forward and its dy back, without clearing gradients.

    `parameters` are those that the layer had before it was loaded, as they are after. A barrier stands between any two of
    the constructor, the passes forward and the passes backward, in the record.
    """
    layer = make(student, kind, sizes, options or {}, group_among(groups))
    held = dict(layer.named_parameters())
    load(layer, whole)
    ys, x_grads = [], []
    for x, dy in zip(xs, dys, strict=True):
        leaf = x.clone().requires_grad_()
        dist.barrier()
        y = layer(leaf)
        dist.barrier()
        if y.shape == dy.shape:
            y.backward(dy)
        ys.append(y.detach())
        x_grads.append(leaf.grad)
    return {
        "ys": ys,
        "x_grads": x_grads,
        "parameters": {name: parameter.detach() for name, parameter in held.items()},
        "grads": {name: parameter.grad for name, parameter in layer.named_parameters()},
    }


def train(student, *, sizes, seeds, steps, groups=None):
    """Train a residual stack of ParallelMLPs with SGD from their own first weights; a step is [x, y]."""
    group = group_among(groups)
    mlps = torch.nn.ModuleList([make(student, "mlp", sizes, {"seed": seed}, group) for seed in seeds])
    at_start = parameters_of(mlps)
    losses = []
    for x, target in steps:
        y = x
        for mlp in mlps:
            y = y + mlp(y)
        loss = (y - target).square().mean()
        mlps.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter in mlps.parameters():
                parameter.sub_(LR * parameter.grad)
        losses.append(loss.detach())
    return {"at_start": at_start, "at_end": parameters_of(mlps), "losses": losses}


def fresh(student, *, layers, seed):
    """Make layers, each of [kind, sizes, options], after the default generator was seeded; return their parameters.

    `drawn` is what the default generator draws afterwards.
    """
    torch.manual_seed(seed)
    made = [make(student, kind, sizes, options, None) for kind, sizes, options in layers]
    return {"parameters": [parameters_of(layer) for layer in made], "drawn": torch.rand(3)}


def constructions(student, *, layers, groups=None):
    """Try to make layers, each of [kind, sizes]; return what was raised, and the shapes of the parameters where nothing was."""
    group = group_among(groups)
    made, errors = [], []
    for kind, sizes in layers:
        layer, error = attempt(partial(getattr(student, CLASSES[kind]), *sizes, group=group))
        made.append(layer and [list(parameter.shape) for parameter in layer.parameters()])
        errors.append(error)
    return {"made": made, "errors": errors}


def loads(student, *, kind, sizes, options, whole, tries):
    """Load whole weights, then try to load others; return what was raised, and the parameters after all tries."""
    layer = make(student, kind, sizes, options, None)
    load(layer, {"only": whole})
    errors = [attempt(partial(layer.load_full, *one))[1] for one in tries]
    return {"errors": errors, "parameters": parameters_of(layer)}
