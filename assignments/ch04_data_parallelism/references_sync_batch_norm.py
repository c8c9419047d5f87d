"""Baselines and assertions that the public and the hidden tests of sync_batch_norm.py share."""

import torch
from torch import nn
from torch.nn import functional

from assignments.ch04_data_parallelism import programs_sync_batch_norm as programs
from assignments.ch04_data_parallelism.references import assert_not_known
from course_env.toy_models import LR, MOMENTUM
from grader.harness import PerRank, assert_arguments_kept, assert_matches
from grader.harness.mistake import Mistake

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
    before = {name: buffer.clone() for name, buffer in norm.named_buffers()}
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
    mistaken = _mistaken(norm, before, leaves, [given["dy"][rank] for rank in members], list(found.values()))
    for at, one in enumerate(found.values()):
        one["mistaken"] = {
            name: {what: values[at] for what, values in known.items()} for name, known in mistaken.items()
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
        due = [found[rank][name] for rank in sorted(found)]
        ranks = [found[rank]["mistaken"][name] for rank in sorted(found)]
        assert_not_known(run[name], due, {what: [one[what] for one in ranks] for what in ranks[0]})
        assert_matches(run[name], PerRank(due), what=name, **tolerance)
    assert_arguments_kept(run, "x", "dy")


def _mistaken(norm, before, leaves, dys, found):
    """Return, by the name of a result, what known mistakes give on each rank of a group that did not make them.

    before: the buffers of `norm` before the batch; leaves, dys, found: of the ranks of the group
    """
    rows = torch.cat([_rows(leaf.detach()) for leaf in leaves])
    mean, var, n = rows.mean(0), rows.var(0, correction=0), len(rows)
    weight, bias = norm.weight.detach(), norm.bias.detach()

    def normalised(leaf, by_mean, by_var):
        return _like((_rows(leaf.detach()) - by_mean) / (by_var + norm.eps).sqrt() * weight + bias, leaf)

    def own(leaf):
        part = _rows(leaf.detach())
        return normalised(leaf, part.mean(0), part.var(0, correction=0)) if len(part) else normalised(leaf, mean, var)

    direct = [_like(_rows(dy) * weight / (var + norm.eps).sqrt(), leaf) for dy, leaf in zip(dys, leaves, strict=True)]
    shared = [(one["x_grad"] - part) / len(leaves) for one, part in zip(found, direct, strict=True)]
    ones = {name: sum(one[name] for one in found) for name in ("weight_grad", "bias_grad")}
    old, momentum = before, norm.momentum
    number = norm.num_batches_tracked.clone()

    def buffers(share, new_var):
        return {
            "running_mean": (1 - share) * old["running_mean"] + share * mean,
            "running_var": (1 - share) * old["running_var"] + share * new_var,
            "num_batches_tracked": number,
        }

    return {
        "y": {
            "Each rank's rows are normalised with their own mean and variance: those of all ranks' rows are due.": [
                own(leaf) for leaf in leaves
            ],
            "The unbiased variance normalises: divide by n.": [normalised(x, mean, var * n / (n - 1)) for x in leaves],
        },
        "x_grad": {
            "The gradient of x takes mean and variance for constants, but they depend on x.": direct,
            "What reaches x through mean and variance is the average over the ranks: the loss is the sum of theirs.": [
                part + through for part, through in zip(direct, shared, strict=True)
            ],
            "What reaches x through mean and variance comes from this rank's rows alone: sum over all ranks.": [
                _of_own_loss(leaf, leaves, norm, dy) for leaf, dy in zip(leaves, dys, strict=True)
            ],
        },
        **{
            name: {
                f"{name} is summed over the ranks: it comes from this rank's rows, and DDP reduces it.": [one]
                * len(found)
            }
            for name, one in ones.items()
        },
        "buffers": {
            "Momentum is the share of the new values, and not of the old ones.": [
                buffers(1 - momentum, var * n / (n - 1))
            ]
            * len(found),
            "The running variance is the biased one: multiply with n / (n - 1).": [buffers(momentum, var)] * len(found),
            "In n / (n - 1), n is the number of all ranks' rows, and not of this rank's.": [
                buffers(momentum, var * own_n / max(1, own_n - 1)) for own_n in (len(_rows(leaf)) for leaf in leaves)
            ],
        },
    }


def _of_own_loss(leaf, leaves, norm, dy):
    """Return the gradient of x for this rank's loss alone."""
    rows = torch.cat([_rows(one) for one in leaves])
    mean, var = rows.mean(0), rows.var(0, correction=0)
    y = (_rows(leaf) - mean) / (var + norm.eps).sqrt() * norm.weight + norm.bias
    return torch.autograd.grad((y * _rows(dy)).sum(), leaf)[0]


def assert_no_digits_lost(run, found):
    """Assert that each rank has what belongs to it, though the mean of its x is very large beside the deviations."""
    tolerance = {"rtol": 1e-7, "atol": 1e-7}
    y = [found[rank]["y"] for rank in sorted(found)]
    near = [isinstance(one, torch.Tensor) and one.shape == due.shape for one, due in zip(run["y"], y, strict=True)]
    if all(near):
        off = max(float((one - due).abs().max()) for one, due in zip(run["y"], y, strict=True))
        # One formula for the variance is right where the mean is small, and loses digits where it is not.
        if not off < tolerance["atol"]:
            raise AssertionError(
                f"{Mistake.DIGITS_LOST}\ny is off by up to {off:.1e} where the mean of x is very large beside its deviations. "
                "Is the variance E[x^2] - E[x]^2, or are sums taken in float32? Take deviations from the mean before squaring."
            )
    for name in RESULTS:
        assert_matches(run[name], PerRank(found[rank][name] for rank in sorted(found)), what=name, **tolerance)


def assert_shape_is_refused(launch, shape, training):
    """Assert that an x of this shape, for 4 channels, is refused on two ranks, and that a good one is normalised after it."""
    x, good = torch.randn(shape, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)
    shared = {"num_features": 4, "x": x, "good": good, "training": training}
    run = launch(programs.failing_sync_batch_norm, 2, shared=shared)
    assert_refused(run, f"x of shape {shape}, {'in training' if training else 'after eval()'}")
    assert_matches(run["y"], nn.BatchNorm1d(4).double().eval()(good).detach(), what="y for an x that is allowed")
    if run.comm.count():
        raise AssertionError("The shape is checked before anything is communicated.")


def assert_refused(run, what):
    """Assert that every rank raised ValueError with a message, and that its buffers are those of a new nn.BatchNorm1d."""
    for rank, error in enumerate(run["error"]):
        if not error.startswith("ValueError: "):
            raise AssertionError(f"{Mistake.DID_NOT_RAISE}\nRank {rank} raised no ValueError for {what}.")
        if error == "ValueError: ":
            raise AssertionError(f"{Mistake.CHECK}\nRank {rank} raised a ValueError that says nothing for {what}.")
    assert_matches(run["buffers"], dict(nn.BatchNorm1d(4).double().named_buffers()), what="buffers after the error")


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
