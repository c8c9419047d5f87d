"""Baselines and assertions that the public and the hidden tests of accumulation.py share."""

import torch

from assignments.ch04_data_parallelism import programs_accumulation as programs
from assignments.ch04_data_parallelism.references import assert_not_known, batch, random_values
from course_env.toy_models import LR, MOMENTUM, build_model, load_tensors, loss_of, tensors_of
from grader.harness import PerRank, assert_arguments_kept, assert_matches
from grader.harness.mistake import Mistake

# "wide" keeps 4 KB of each row, so that these rows of a micro-batch keep 64 MiB until its backward.
LARGE = 16_000
MEMORY_MARGIN_KB = 40 << 10


def steps_of(world_size, model, rows, num_steps=2):
    """Return for each rank its steps, each a list of micro-batches [x, y] with these numbers of rows."""
    return [[[pair(batch(model, n)) for n in rows] for _ in range(num_steps)] for _ in range(world_size)]


def pair(one):
    """Return a batch as [x, y]."""
    return [one["x"], one["y"]]


def factors_for(steps):
    """Return numbers for the passes and finish_grad_sync() calls of a rank with these steps, a few more than it needs."""
    num_passes = sum(map(len, steps)) + 3
    return {name: (0.5 + torch.rand(num_passes)).tolist() for name in ("inside", "outside", "finish")}


def launch_steps(launch, steps, model, values, **shared):
    """Run `programs.accumulate` on as many ranks as have steps; return the run and the factors of the ranks."""
    factors = [factors_for(of_rank) for of_rank in steps]
    # Ranks average their gradients before finish_grad_sync(), so its factors are the same on all of them.
    factors = [one | {"finish": factors[0]["finish"]} for one in factors]
    run = launch(
        programs.accumulate,
        len(steps),
        per_rank={"steps": steps, "factors": factors},
        shared={"model": model, "values": values, **shared},
    )
    return run, factors


def accumulated(model, values, steps, factors, *, weigh=None, start_grads=None):
    """Train one module as the ranks must; return its parameters and buffers at the end, and each rank's losses.

    steps, factors: for each rank that takes part
    weigh, start_grads: for what mistakes give. `weigh` is the weight of a micro-batch, from its rows and those of all;
        with `start_grads` gradients begin with this number, and are never set back.
    """
    module = build_model(model)
    load_tensors(module, values)
    optimizer = torch.optim.SGD(module.parameters(), lr=LR, momentum=MOMENTUM)
    left = [{name: iter(numbers) for name, numbers in one.items()} for one in factors]
    losses = [[] for _ in steps]
    for parameter in module.parameters() if start_grads is not None else ():
        parameter.grad = torch.full_like(parameter, start_grads)
    for number, step in enumerate(zip(*steps, strict=True)):
        if start_grads is None:
            optimizer.zero_grad()
        for rank, micro_batches in enumerate(step):
            loss = _mean_loss(module, micro_batches, left[rank], weigh or (lambda own, every: own / sum(every)))
            (loss / len(steps)).backward()
            losses[rank].append(loss.detach())
        for parameter in module.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(factors[0]["finish"][number])
        optimizer.step()
    return tensors_of(module), losses


def _mean_loss(module, micro_batches, left, weigh):
    """Return the mean loss over a rank's rows; the last pass is outside no_sync()."""
    *inside, last = micro_batches
    passes = [*((x, y, next(left["inside"])) for x, y in inside), (*last, next(left["outside"]))]
    every = [len(rows) for rows, _, _ in passes]
    return sum(loss_of(module(x) * factor, y) * weigh(len(x), every) for x, y, factor in passes)


def assert_trained(run, model, values, steps, factors):
    """Assert that every rank ended where one process ends that trains on all rows of all ranks, with the right losses."""
    at_end, losses = accumulated(model, values, steps, factors)
    _assert_no_known_mistake(run, at_end, (model, values, steps, factors))
    assert_matches(run["at_end"], at_end, previous=values, what="at_end")
    assert_matches(run["losses"], PerRank(losses), what="losses")
    assert_arguments_kept(run, "the tensors of micro_batches")
    if any(run.observed("lists_changed")):
        raise AssertionError(
            f"{Mistake.WROTE_TO_ARGUMENT}\nThe list micro_batches does not hold what it held before: it is the caller's, who may "
            "want to go through it again."
        )


def _assert_no_known_mistake(run, at_end, arguments):
    """Assert that parameters are not what a known mistake leaves; for one in the order of calls, say what was called."""
    steps = arguments[2]
    known = {
        "Every micro-batch counted the same, however many rows it has: weigh its mean loss with its share of the rows.": (
            accumulated(*arguments, weigh=lambda _, every: 1 / len(every))
        ),
        "The mean losses of the micro-batches were added up: the gradient is that of the mean over all rows.": (
            accumulated(*arguments, weigh=lambda *_: 1.0)
        ),
        "Gradients from before a step were counted in: set them back when it begins.": (
            accumulated(*arguments, start_grads=0.0)
        ),
        "Gradients from before the step were counted in: set them back when it begins.": (
            accumulated(*arguments, start_grads=1.0)
        ),
    }
    size = len(steps)
    assert_not_known(run["at_end"], [at_end] * size, {what: [end] * size for what, (end, _) in known.items()})
    for rank, (of_rank, ends) in enumerate(zip(steps, run["at_end"], strict=True)):
        due = [call for step in of_rank for call in calls_of(len(step))]
        called = run.observed("calls")[rank]
        if called != due and not _near(ends, at_end):
            raise AssertionError(
                f"{Mistake.VALUES}\nRank {rank} ended with wrong parameters. It called {', '.join(called)}. "
                f"Due are {', '.join(due)}. A forward pass decides whether the backward after it communicates."
            )


def _near(ends, at_end):
    return isinstance(ends, dict) and all(torch.allclose(ends[name], at_end[name], rtol=1e-9) for name in at_end)


def assert_refuses_nothing(launch):
    """Assert that no micro-batches are a ValueError on both ranks, and change no parameter."""
    values = random_values("mlp")
    run = launch(programs.accumulate_nothing, 2, shared={"model": "mlp", "values": values})
    for rank, error in enumerate(run["error"]):
        if not error.startswith("ValueError"):
            raise AssertionError(f"{Mistake.DID_NOT_RAISE}\nRank {rank} raised no ValueError for micro_batches=[].")
    assert_matches(run["at_end"], values, what="parameters and buffers after the error", rtol=0.0, atol=0.0)


def assert_one_sync(run, num_micro_batches, num_steps):
    """All passes but the last of each step run inside no_sync(), then finish_grad_sync() and the optimizer's step."""
    assert_matches(run.observed("calls"), calls_of(num_micro_batches) * num_steps, what="the order of calls")


def calls_of(num_micro_batches):
    """Return the calls of a step, in order."""
    return ["pass inside no_sync"] * (num_micro_batches - 1) + ["pass", "finish_grad_sync", "step"]


def assert_flat_memory(launch, run, steps, model, values):
    """Assert that no rank took more memory than one pass after the other takes."""
    for rank, peak in enumerate(run.observed("peak_passes")):
        assert peak == 1, (
            f"Rank {rank} held the activations of {peak} passes at once: call backward() after each forward."
        )
    shared = {"model": model, "values": values}
    needed = launch.alone(programs.one_pass, len(steps), per_rank={"steps": steps}, shared=shared).max_rss_kb
    for rank, (taken, least) in enumerate(zip(run.max_rss_kb, needed, strict=True)):
        assert taken - least < MEMORY_MARGIN_KB, (
            f"Rank {rank} took {(taken - least) >> 10} MiB more than one pass after the other takes: "
            "let each micro-batch go before the next one's forward."
        )
