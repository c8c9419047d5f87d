"""What runs on every rank in the tests of sequence_parallel.py."""

from functools import partial

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional

from course_env.rank_programs import attempt, group_among

NAMES = ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias", "attention_bias", "mlp_bias")


class PartialAttention(nn.Module):
    """One causal head: what a rank with one of the heads adds to the sum. Shapes: qkv (3, h, d), out (d, h)."""

    def __init__(self, qkv, out):
        super().__init__()
        self.qkv, self.out = nn.Parameter(qkv.clone()), nn.Parameter(out.clone())

    def forward(self, x):
        """Return this rank's part. Shapes: x and the result (b, s, d)."""
        q, k, v = (x @ matrix.T for matrix in self.qkv)
        scores = q @ k.mT + torch.full((x.shape[1], x.shape[1]), -torch.inf, dtype=x.dtype).triu(1)
        return scores.softmax(-1) @ v @ self.out.T


class PartialMLP(nn.Module):
    """What a rank with some of the hidden numbers adds to the sum. Shapes: up (h, d), down (d, h)."""

    def __init__(self, up, down):
        super().__init__()
        self.up, self.down = nn.Parameter(up.clone()), nn.Parameter(down.clone())

    def forward(self, x):
        """Return this rank's part. Shapes: x and the result (b, s, d)."""
        return functional.gelu(x @ self.up.T) @ self.down.T


def scaled(factors, module, inputs, output):
    """Multiply what a norm returns by a factor for each of this rank's tokens; a hook. Other shapes stay as they are."""
    return output * factors if output.shape[1] == len(factors) else None


def operators(student, *, cases, groups=None):
    """Take tanh of each case's x through one of the two operators, and its dy back.

    `hidden` and `dy` are the arguments as they are afterwards. A barrier stands between forward and backward, and between
    two cases, in the record.
    """
    group = group_among(groups)
    results = []
    for case in cases:
        leaf = case["x"].clone().requires_grad_()
        hidden = torch.tanh(leaf)  # its gradient needs its values, so a write to them shows
        given = hidden.mT if case["transposed"] else hidden
        back = case["dy"].mT.contiguous().mT if case["transposed"] else case["dy"]
        y = getattr(student, case["op"])(given, group, **case["options"])
        dist.barrier()
        if y.shape == back.shape:
            y.backward(back)
        dist.barrier()
        results.append({"y": y.detach(), "x_grad": leaf.grad, "dy": back, "hidden": hidden.detach()})
    return {"results": results}


def cuts(student, *, xs):
    """Call reduce_scatter_to_sp on each x; return what it returned, and how each call ended."""
    ends = [attempt(partial(student.reduce_scatter_to_sp, x)) for x in xs]
    return {"values": [value for value, _ in ends], "errors": [error for _, error in ends]}


def block(student, *, parts, shared, factors, steps, groups=None):
    """Take steps of one or more passes through a block, each [x, dy]; after the last pass of each comes finish_grad_sync().

    parts: this rank's weights, qkv, out, up and down
    shared: the values of norms and biases, by name
    factors: for norm1 and norm2 the number by which this rank's hook multiplies what it returns for a token
    Gradients are cleared between two steps. A barrier stands between any two of constructor, forward, backward and
    finish_grad_sync, in the record.
    """
    attention, mlp = PartialAttention(parts["qkv"], parts["out"]), PartialMLP(parts["up"], parts["down"])
    layer = student.SPTransformerBlock(parts["out"].shape[0], attention, mlp, group=group_among(groups)).double()
    at_start = {name: dict(layer.named_parameters())[name].detach().clone() for name in NAMES}
    layer.load_state_dict(shared, strict=False)
    for name, numbers in factors.items():
        getattr(layer, name).register_forward_hook(partial(scaled, numbers))
    results = []
    for passes in steps:
        layer.zero_grad()
        ys, x_grads = [], []
        for x, dy in passes:
            leaf = x.clone().requires_grad_()
            dist.barrier()
            y = layer(leaf)
            dist.barrier()
            if y.shape == dy.shape:
                y.backward(dy)
            ys.append(y.detach())
            x_grads.append(leaf.grad)
        dist.barrier()
        layer.finish_grad_sync()
        grads = {name: parameter.grad.clone() for name, parameter in layer.named_parameters()}
        results.append({"ys": ys, "x_grads": x_grads, "grads": grads})
    return {"at_start": at_start, "results": results}
