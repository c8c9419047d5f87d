"""What runs on every rank in the tests of rng.py."""

from functools import partial

import torch

from course_env.rank_programs import attempt, group_among


def script(student, *, seed, default_seed, actions, groups=None):
    """Make a TPRng after the default generator was seeded, and act as told; return what each action gave.

    Actions: ["draw", region, n] n numbers inside a block; ["default", n] n numbers outside of all blocks; ["nested", outer,
    inner, n] n numbers in the outer block, n in the inner, n in the outer again; ["raise", region, n] n numbers in a block that
    an exception ends; ["save", name], ["load", name]; ["dropout", region, x, p, dy] the result, x's gradient and x afterwards.
    """
    torch.manual_seed(default_seed)
    rng = student.TPRng(seed, group=group_among(groups))
    saved = {}
    return {"given": [_act(student, rng, saved, *action) for action in actions]}


def _act(student, rng, saved, kind, *arguments):
    if kind == "default":
        return torch.rand(*arguments)
    if kind == "save":
        saved[arguments[0]] = rng.state()
        return None
    if kind == "load":
        rng.load_state(saved[arguments[0]])
        return None
    if kind == "dropout":
        region, x, p, dy = arguments
        leaf = x.clone().requires_grad_()
        given = torch.tanh(leaf)  # its gradient needs its values, so a write to them shows
        y = student.tp_dropout(given, p, region, rng)
        y.backward(dy)
        return [y.detach(), leaf.grad]
    if kind == "nested":
        outer, inner, n = arguments
        with rng.fork(outer):
            first = torch.rand(n)
            with rng.fork(inner):
                second = torch.rand(n)
            return [first, second, torch.rand(n)]
    region, n = arguments
    drawn = None
    try:
        with rng.fork(region):
            drawn = torch.rand(n)
            if kind == "raise":
                raise KeyError(region)  # noqa: TRY301 - the block is to be left by it
    except KeyError:
        pass
    return drawn


def refusals(student, *, seed, x, calls, region):
    """Open a block of each region among `calls`, or call tp_dropout with p, region; then once more with p = 0.5.

    Returns what was raised, and the last result.
    """
    rng = student.TPRng(seed)
    errors = [attempt(partial(_open, student, rng, x, call))[1] for call in calls]
    return {"errors": errors, "y": student.tp_dropout(x, 0.5, region, rng)}


def _open(student, rng, x, call):
    if isinstance(call, str):
        with rng.fork(call):
            torch.rand(1)
    else:
        student.tp_dropout(x, *call, rng)
