"""Baselines and assertions that the public and the hidden tests of sync_batch_norm.py share."""

import torch
from torch import nn
from torch.nn import functional

from course_env.toy_models import LR, MOMENTUM
from grader.harness import PerRank, assert_arguments_kept, assert_matches

RESULTS = ("y", "x_grad", "weight_grad", "bias_grad", "buffers")


def random_norm(num_features, **options):
    """Return an nn.BatchNorm1d that has been used before, and whose weight and bias have been trained."""
    norm = nn.BatchNorm1d(num_features, **options).double()
    nn.init.uniform_(norm.weight, 0.5, 1.5)
    nn.init.normal_(norm.bias)
    for _ in range(3):
        norm(1.5 * torch.randn(8, num_features, dtype=torch.float64) - 1)
    return norm


def batches(*shapes):
    """Return x and the gradient of the output, one of each for every rank; each rank's x has a mean of its own."""
    xs = [torch.randn(shape, dtype=torch.float64) * (1 + rank) + 3 * rank for rank, shape in enumerate(shapes)]
    return {"x": xs, "dy": [torch.randn(shape, dtype=torch.float64) for shape in shapes]}


def one_process(norm, given, members=None):
    """Return what each of the ranks `members` (default: all) must find: nn.BatchNorm1d on all their rows together."""
    members = range(len(given["x"])) if members is None else members
    leaves = [given["x"][rank].clone().requires_grad_() for rank in members]
    y = norm(torch.cat([_rows(leaf) for leaf in leaves]))
    losses = [
        (part * _rows(given["dy"][rank])).sum()
        for part, rank in zip(y.split([len(_rows(leaf)) for leaf in leaves]), members, strict=True)
    ]
    x_grads = torch.autograd.grad(sum(losses), leaves, retain_graph=True)
    found = {}
    for at, rank in enumerate(members):
        weight_grad, bias_grad = torch.autograd.grad(losses[at], [norm.weight, norm.bias], retain_graph=True)
        start = sum(len(_rows(leaf)) for leaf in leaves[:at])
        found[rank] = {
            "y": _like(y.detach()[start : start + len(_rows(leaves[at]))], leaves[at]),
            "x_grad": x_grads[at],
            "weight_grad": weight_grad,
            "bias_grad": bias_grad,
            "buffers": {name: buffer.clone() for name, buffer in norm.named_buffers()},
        }
    return found


def _rows(x):
    """Return x (B, C) or (B, C, L) with a row for each of its positions."""
    return x if x.dim() == 2 else x.transpose(1, 2).reshape(-1, x.shape[1])


def _like(rows, x):
    """Return rows in the shape of x."""
    return rows if x.dim() == 2 else rows.reshape(x.shape[0], x.shape[2], x.shape[1]).transpose(1, 2)


def assert_right(run, found, **tolerance):
    """Each rank has what belongs to it, by name, and did not write to its arguments."""
    for name in RESULTS:
        assert_matches(run[name], PerRank(found[rank][name] for rank in sorted(found)), what=name, **tolerance)
    assert_arguments_kept(run, "x", "dy")


def assert_light(comm, num_features):
    """Forward and backward each took at most two all-reduces of 2 C + 1 elements; our barrier separates the two."""
    comm.assert_only("all_reduce", "barrier")
    for rank in range(comm.world_size):
        ops = comm.ops(rank=rank)
        at = [op.op for op in ops].index("barrier")
        for direction, part in (("forward", ops[:at]), ("backward", ops[at + 1 :])):
            assert len(part) <= 2, f"Rank {rank} calls {len(part)} collectives in {direction}; two are enough."
            elements = sum(sum(op.inputs) for op in part)
            assert elements <= 2 * num_features + 1, (
                f"Rank {rank} all-reduces {elements} elements in {direction} for {num_features} channels; "
                "sums per channel are enough."
            )


def network():
    """Return the network that the program trains, with nn.BatchNorm1d in it."""
    return nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3)).double()


def training_steps(rows_per_step):
    """Return for each rank its steps: x, y and the number of rows of all ranks."""
    return [
        [
            [
                torch.randn(rows[rank], 5, dtype=torch.float64),
                torch.randn(rows[rank], 3, dtype=torch.float64),
                sum(rows),
            ]
            for rows in rows_per_step
        ]
        for rank in range(len(rows_per_step[0]))
    ]


def train(module, steps_per_rank):
    """Train on the rows of all ranks in one process; return each rank's output on its last x after eval()."""
    optimizer = torch.optim.SGD(module.parameters(), lr=LR, momentum=MOMENTUM)
    for parts in zip(*steps_per_rank, strict=True):
        optimizer.zero_grad()
        x, y = (torch.cat([part[which] for part in parts]) for which in (0, 1))
        (functional.mse_loss(module(x), y, reduction="sum") / len(x)).backward()
        optimizer.step()
    module.eval()
    outputs = [module(steps[-1][0]).detach() for steps in steps_per_rank]
    module.train()
    return outputs


def in_groups(norm, given, groups):
    """Return what each rank must find if each group begins with the same `norm`."""
    start, found = {name: value.clone() for name, value in norm.state_dict().items()}, {}
    for members in groups:
        norm.load_state_dict(start)
        found |= one_process(norm, given, members)
    return found
