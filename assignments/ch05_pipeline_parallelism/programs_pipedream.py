"""What runs on one rank in the tests of pipedream.py."""

import weakref
from functools import partial

import torch
from torch.nn import functional

from course_env.rank_programs import attempt


def train(student, *, weights, batches, lr, mode):
    """Call pipedream_train with the gradients of a small model; observed is how many versions of each stage were alive.

    A batch is (x, y, factor); the gradients of the n-th call are multiplied by the factor of the n-th batch, too, so that a
    call too many, or in another order, shows in the weights.
    """
    factors = [batch[2] for batch in batches]
    seen = [[] for _ in weights]
    alive = [0] * len(weights)

    def gradients(used, batch):
        for stage, weight in enumerate(used):
            if all(reference() is not weight for reference in seen[stage]):
                seen[stage].append(weakref.ref(weight))
            alive[stage] = max(alive[stage], sum(reference() is not None for reference in seen[stage]))
        leaves = [weight.detach().clone().requires_grad_() for weight in used]
        loss = loss_of(leaves, batch)
        factor = factors.pop(0) if factors else 0.0
        return [factor * gradient for gradient in torch.autograd.grad(loss, leaves)]

    at_end, versions = student.pipedream_train(weights, batches, gradients, lr, mode)
    results = [one.clone() for one in at_end]
    for one in at_end:  # whoever shares memory with it changes, too
        one.fill_(9.0)
    return {
        "weights": results,
        "versions": versions,
        "calls_left": len(factors),
        "given": [*weights, *(tensor for batch in batches for tensor in batch[:2])],
        "observed": {"alive": alive},
    }


def loss_of(leaves, batch):
    """Return the loss of an MLP with tanh after each of these weights."""
    x, y = batch[0], batch[1]
    for leaf in leaves:
        x = torch.tanh(x @ leaf.T)
    return functional.mse_loss(x, y)


def train_large(student, *, sizes, num_batches, mode):
    """Train stages of these many numbers with gradients that cost nothing: for what the versions take of memory."""
    weights = [torch.zeros(size, dtype=torch.float64) for size in sizes]
    at_end, versions = student.pipedream_train(
        weights, list(range(num_batches)), lambda used, batch: [one + float(batch) for one in used], -1.0, mode
    )
    return {"ends": [one[::1000].clone() for one in at_end], "versions": versions}


def refuse(student, *, calls):
    """Call pipedream_train with these arguments; return the ValueErrors."""
    one = torch.ones(1, dtype=torch.float64)
    errors = []
    for num_stages, mode in calls:
        call = partial(student.pipedream_train, [one] * num_stages, [0], lambda used, _: used, 0.1, mode)
        errors.append(attempt(call)[1])
    return {"errors": errors}
