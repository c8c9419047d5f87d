"""Baselines and assertions that the public and the hidden tests of pipedream.py share."""

from itertools import pairwise

import torch

from assignments.ch05_pipeline_parallelism import programs_pipedream as programs
from course_env.rank_programs import same
from grader.harness import assert_matches
from grader.harness.compare.arguments import assert_unchanged
from grader.harness.mistake import Mistake

MEMORY_MARGIN_KB = 48 << 10


def problem(p, num_batches):
    """Return weights of p stages of different widths, and batches with a factor each."""
    widths = [3 + stage % 3 for stage in range(p + 1)]
    weights = [torch.randn(w_out, w_in, dtype=torch.float64) for w_in, w_out in pairwise(widths)]
    shapes = ((4, widths[0]), (4, widths[-1]))
    batches = [
        (*(torch.randn(s, dtype=torch.float64) for s in shapes), float(0.5 + torch.rand(())))
        for _ in range(num_batches)
    ]
    return weights, batches


def with_versions(weights, batches, lr, version_of, *, call_of=None, updates_stashed=False):
    """Train with the gradients of stage s for batch t taken at version `version_of(t, s)`.

    call_of: which call of grad_fn the one for batch t is, if not the t-th
    updates_stashed: whether an update starts from the version of the gradient, and not from the newest one
    """
    history = [[weight.clone()] for weight in weights]
    factors = [batch[2] for batch in batches]
    for t, batch in enumerate(batches):
        used = [max(0, version_of(t, s)) for s in range(len(weights))]
        leaves = [old[version].clone().requires_grad_() for old, version in zip(history, used, strict=True)]
        call = t if call_of is None else call_of(t)
        factor = factors[call] if call < len(factors) else 0.0
        gradients = torch.autograd.grad(factor * programs.loss_of(leaves, batch), leaves)
        for old, gradient, version in zip(history, gradients, used, strict=True):
            old.append(old[version if updates_stashed else -1] - lr * gradient)
    return [old[-1] for old in history]


def assert_trains(launch, mode, p, num_batches, *, version_of, versions):
    """Assert that pipedream_train ends with the right weights, and holds the right versions, of p stages."""
    weights, batches = problem(p, num_batches)
    shared = {"weights": weights, "batches": batches, "lr": 0.3, "mode": mode}
    run = launch(programs.train, 1, shared=shared, process_group=False)
    due = with_versions(weights, batches, 0.3, version_of)
    others = {
        "gradients at the newest weights": lambda t, _: t,
        "gradients at weights that are one update too old": lambda t, s: version_of(t, s) - 1,
        "the last stage behind and the first up to date: it is the other way round": lambda t, s: t - s,
        "each stage with the delay of stashing": lambda t, s: t - (p - 1 - s),
        "gradients at weights that are two updates too old": lambda t, s: version_of(t, s) - 2,
    }
    mistakes = {name: with_versions(weights, batches, 0.3, other) for name, other in others.items()}
    mistakes |= {
        "an update of the version that the gradient was taken at: the updates since then are lost": with_versions(
            weights, batches, 0.3, version_of, updates_stashed=True
        ),
        "grad_fn called twice for each batch": with_versions(
            weights, batches, 0.3, version_of, call_of=lambda t: 2 * t + 1
        ),
        "grad_fn called again for each batch, after the call whose gradients count": with_versions(
            weights, batches, 0.3, version_of, call_of=lambda t: 2 * t
        ),
    }
    assert_matches(run["weights"], due, previous=weights, mistakes=mistakes, what=f"the weights after mode={mode!r}")
    assert_matches(run["versions"], versions, what=f"the versions held by each stage with mode={mode!r}")
    for stage, alive in enumerate(run.observed("alive")[0]):
        assert alive <= versions[stage], (
            f"{Mistake.MEMORY}\nWith mode={mode!r}, {alive} versions of stage {stage} were alive at once; {versions[stage]} are "
            "needed. Let go of a version when no later gradient needs it."
        )
    assert run["calls_left"][0] == 0, "grad_fn must be called once for each batch."
    given = [*weights, *(tensor for batch in batches for tensor in batch[:2])]
    assert_unchanged(run["given"], given, "weights or batches (or the result shares their memory)")
